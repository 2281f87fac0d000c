package sender

import (
	"fmt"
	"strings"
	"time"
)

// person is a contact that a support platform might know.
type person struct{ first, last, mail, country string }

var people = []person{
	{"Nguyễn Thị", "Hạnh", "hanh.nguyen", "+84"},
	{"Trần Văn", "Đức", "duc.tran", "+84"},
	{"Somchai", "สุขใจ", "somchai.s", "+66"},
	{"Siti", "Nurhaliza", "siti.n", "+62"},
	{"Zoë", "O'Brien-Müller", "zoe.obm", "+49"},
	{"José", "García \"Pepe\"", "pepe.garcia", "+34"},
	{"小林", "美咲", "misaki.k", "+81"},
	{"Ada", "Lovelace", "ada", "+44"},
}

var (
	companies = []string{"Công ty TNHH Sao Mai", "Smith & Sons", "Café <Zürich> AG", "บริษัท ใจดี จำกัด", "Acme/East Pte. Ltd."}
	channels  = []string{"whatsapp", "zalo", "messenger", "line", "webchat", "voice"}
	tags      = []string{"vip", "lead", "khách hàng", "returning", "B2B/B2C", "newsletter"}
	notes     = []string{
		"Prefers calls after 5pm.\nSpeaks English & Vietnamese.",
		"Giao hàng tận nơi – gọi trước 15 phút",
		"Budget < 500 USD, decision > 2 weeks",
		`Asked for "invoice\receipt"`,
	}
	texts = []string{
		"Hi! Where is my order #10432? 🚚",
		"Xin chào, shop còn hàng không ạ?",
		"ขอบคุณมากค่ะ 🙏",
		"Terima kasih, sudah saya transfer.",
		"See https://shop.example/orders/10432?ref=chat&lang=en",
		"1 < 2 && 3 > 2, said the \"engineer\".\n\t— C:\\temp",
		"領収書をお願いします。",
		"👨‍👩‍👧 Family plan please, thanks <3",
	}
	files = []struct{ name, mime string }{
		{"receipt.pdf", "application/pdf"},
		{"ảnh chụp.jpg", "image/jpeg"},
		{"voice-note.ogg", "audio/ogg"},
	}
	fieldNames = []string{"phone", "email", "tags", "custom_fields.note", "assigned_to"}
)

const month = 30 * 24 * time.Hour

// contactEvent is the data of contact.create and contact.update.
func (d *dice) contactEvent(kind string) any {
	p := pick(d, people)
	created := timestamp(d.now)
	if kind == "contact.update" {
		created = d.ago(6 * month)
	}
	id := d.uuid()
	contact := object{
		{"id", id},
		{"organization_id", d.uuid()},
		{"name", p.first + " " + p.last},
		{"first_name", p.first},
		{"last_name", p.last},
		{"email", p.mail + "@mail.example"},
		{"phone", d.phone(p)},
		{"avatar_url", d.sometimes(2, "https://cdn.klink.example/avatars/"+id+".png")},
		{"channel", pick(d, channels)},
		{"tags", d.tags()},
		{"custom_fields", d.customFields()},
		{"assigned_to", d.sometimes(3, d.uuid())},
		{"created_at", created},
		{"updated_at", timestamp(d.now)},
	}
	if kind == "contact.update" {
		contact = append(contact, member{"changed_fields", list{pick(d, fieldNames)}})
	}
	return contact
}

func (d *dice) phone(p person) string { return fmt.Sprintf("%s9%08d", p.country, d.IntN(1e8)) }

func (d *dice) tags() list {
	l := list{}
	for _, tag := range tags {
		if d.IntN(3) == 0 {
			l = append(l, tag)
		}
	}
	return l
}

func (d *dice) customFields() object {
	if d.IntN(5) == 0 {
		return object{}
	}
	return object{
		{"company", pick(d, companies)},
		{"lifetime_value", float64(d.IntN(1e8)) / 100},
		{"orders", d.IntN(40)},
		{"newsletter", d.IntN(2) == 0},
		{"note", d.sometimes(2, pick(d, notes))},
	}
}

// messageEvent is the data of message.inbound and message.outbound.
func (d *dice) messageEvent(kind string) any {
	p := pick(d, people)
	direction := strings.TrimPrefix(kind, "message.")
	status, agent := "received", any(nil)
	if direction == "outbound" {
		status = pick(d, []string{"sent", "delivered", "read"})
		agent = object{{"id", d.uuid()}, {"name", "Phạm Minh Châu"}, {"email", "chau@support.example"}}
	}
	return object{
		{"id", d.uuid()},
		{"conversation_id", d.uuid()},
		{"direction", direction},
		{"type", "text"},
		{"text", pick(d, texts)},
		{"attachments", d.attachments()},
		{"channel", object{{"id", d.uuid()}, {"type", pick(d, channels)}, {"name", "Support / Hỗ trợ"}}},
		{"contact", object{{"id", d.uuid()}, {"name", p.first + " " + p.last}, {"phone", d.phone(p)}}},
		{"agent", agent},
		{"reply_to", d.sometimes(4, d.uuid())},
		{"metadata", object{{"sentiment", float64(d.IntN(2001)-1000) / 1000}, {"retries", 0}, {"bot", d.IntN(4) == 0}}},
		{"status", status},
		{"sent_at", d.ago(3 * time.Second)},
		{"created_at", timestamp(d.now)},
	}
}

func (d *dice) attachments() list {
	l := make(list, d.IntN(3))
	for i := range l {
		file := pick(d, files)
		id := d.uuid()
		l[i] = object{
			{"id", id},
			{"file_name", file.name},
			{"mime_type", file.mime},
			{"size", d.IntN(5 << 20)},
			{"url", "https://cdn.klink.example/files/" + id + "/" + file.name},
		}
	}
	return l
}
