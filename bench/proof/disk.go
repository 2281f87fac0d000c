package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// How many events are sent in each part of a trial with a full disk: few enough that the endpoint stays on although
// each of them may fail twice.
const (
	withRoom    = 10
	passing     = 5
	withoutRoom = 15
	again       = 10
)

// fillDisks tries what happens when the disk below SQLite is full.
func (p *proof) fillDisks(ctx context.Context, r *report) error {
	if !p.disk {
		return nil
	}
	for _, c := range p.chosen {
		if !c.inbox() || c.postgres {
			continue
		}
		p.say("%s: a full disk", c.name)
		small := filepath.Join(p.dir, "small-"+c.word())
		if err := mount(ctx, small); err != nil {
			p.missing = append(p.missing, c.name+" with a full disk: "+err.Error())
			continue
		}
		result, err := p.fill(ctx, c, small)
		unmount(small)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.addDisk(c, result)
	}
	return nil
}

// mount makes a small disk.
func mount(ctx context.Context, dir string) error {
	if os.Getuid() != 0 {
		return errors.New("skipped, since only root can mount a small disk")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", dir).CombinedOutput() //nolint:gosec // our own folder
	if err != nil {
		return fmt.Errorf("skipped, since no small disk can be mounted: %w: %s", err, text)
	}
	return nil
}

// unmount must not fail for what still has a file open.
func unmount(dir string) { _ = exec.Command("umount", "--lazy", dir).Run() } //nolint:gosec // our own folder

// fill makes one trial on a small disk.
func (p *proof) fill(ctx context.Context, c contender, small string) (result, error) {
	s := p.settings
	s.events = withRoom + passing + withoutRoom + again
	t, err := p.openTrial(ctx, c, s, "sqlite://"+filepath.Join(small, "inbox.db"))
	if err != nil {
		return result{}, err
	}
	defer t.close()
	r, err := t.fill(ctx, filepath.Join(small, "ballast"))
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, t.gateway.log())
	}
	return r, nil
}

// fill fills the disk, and makes room again before K-LINK has made all of its attempts.
func (t *trial) fill(ctx context.Context, ballast string) (result, error) {
	next := 0
	send := func(n int) error {
		next += n
		return t.play(ctx, next-n, next, 0)
	}
	if err := send(withRoom); err != nil {
		return result{}, err
	}
	if _, _, err := t.drain(ctx); err != nil {
		return result{}, err
	}
	if err := fillUp(ballast); err != nil {
		return result{}, err
	}
	if t.mode == "rescue" { // goes on as long as the backend takes everything itself
		if err := send(passing); err != nil {
			return result{}, err
		}
	}
	passed := next - withRoom
	if err := t.backend.turn(refuses); err != nil {
		return result{}, err
	}
	room := time.AfterFunc(t.scale.of(time.Minute), func() { _ = os.Remove(ballast) }) // between two retries
	defer room.Stop()
	if err := send(withoutRoom); err != nil {
		return result{}, err
	}
	if err := t.backend.turn(fine); err != nil {
		return result{}, err
	}
	if err := send(again); err != nil {
		return result{}, err
	}
	drained, left, err := t.drain(ctx)
	t.ledger.entries = t.ledger.entries[:next]
	r := t.account()
	r.Drained, r.Left = drained, left
	r.PassedFull = t.accepted(withRoom, withRoom+passed)
	r.ErrorsFull = r.Errors
	r.WorksAgain = t.accepted(next-again, next) == again
	return r, err
}

// accepted returns how many of the events from first up to end were answered with 200 at once.
func (t *trial) accepted(first, end int) (n int) {
	for _, e := range t.ledger.entries[first:end] {
		if len(e.delivery.Attempts) == 1 && e.delivery.Attempts[0].Status == 200 {
			n++
		}
	}
	return n
}

// fillUp writes until there is no room for a single byte more.
func fillUp(path string) error {
	f, err := os.Create(path) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // that not all can be written is what is wanted
	for size := 1 << 20; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			return err
		}
	}
	return nil
}
