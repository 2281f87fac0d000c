package main

import (
	"bytes"
	"fmt"
)

const (
	smallBody = 1 << 10 // the least; an event has some 1.2 KB
	largeBody = 64 << 10
	heldBody  = 1 << 20
)

// event returns the body of a delivery such as K-LINK sends: members in no order, slashes and all but ASCII escaped.
// It holds as many messages as there is room for in size bytes, at least one, and differs by seed.
func event(seed, size int) []byte {
	b := fmt.Appendf(nil, `{"event":"message.inbound","timestamp":"2026-01-09T03:42:%02d.000000Z","data":{`+
		`"channel":{"type":"whatsapp","id":"6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b","name":"Front desk \u2013 sales"},"messages":[`, seed%60)
	one := message(seed, 0)
	b = append(b, one...)
	for n := 1; len(b)+len(one)+room < size; n++ {
		b = append(append(b, ','), message(seed, n)...)
	}
	b = append(b, `],"note":"`...)
	if missing := size - len(b) - len(end); missing > 0 {
		b = append(b, bytes.Repeat([]byte("n"), missing)...)
	}
	return append(b, end...)
}

const (
	end  = `"}}`
	room = 100 // more than what follows the messages, and a longer number in one
)

func message(seed, n int) []byte {
	return fmt.Appendf(nil, `{"id":"9b1deb4d-3b7d-4bad-%04d-%012d","conversation_id":"1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",`+
		`"contact":{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","first_name":"Zo\u00eb","last_name":"Nguy\u1ec5n",`+
		`"language":"vi","timezone":"Asia\/Ho_Chi_Minh","email":"zoe.nguyen@example.com","phone":"+84901234567","tags":["vip","returning"],"score":87.5,`+
		`"custom_fields":{"plan":"business","seats":25,"renewal":"2026-11-30","source":"https:\/\/example.com\/signup?a=1&b=2"},`+
		`"created_at":"2025-06-01T08:00:00.000000Z","updated_at":"2026-01-08T22:15:09.000000Z"},"type":"text",`+
		`"text":"Hello,\n\nis the \"large\" room still free next week? We would be %d people & a dog.\n\nBest regards\nZo\u00eb",`+
		`"attachments":[{"url":"https:\/\/cdn.example.com\/files\/2026\/01\/plan.pdf","mime":"application\/pdf","size":182044}],`+
		`"agent":{"id":"c9bf9e57-1685-4c89-bafb-ff5af830be8a","name":"Ph\u1ea1m Minh Ch\u00e2u"},"reply_to":null,"labels":["room booking","follow up"],"is_private":false,"sent_at":"2026-01-09T03:42:37.000000Z"}`,
		seed%10000, n, seed+n)
}

// bodies returns n different events of about the same size.
func bodies(n, size int) [][]byte {
	all := make([][]byte, n)
	for seed := range all {
		all[seed] = event(seed, size)
	}
	return all
}
