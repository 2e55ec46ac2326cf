package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/sirupsen/logrus"

	"github.com/wasmtail/wasmtail/hub/store"
	"github.com/wasmtail/wasmtail/internal/durable"
)

// The engine answers damage on the disk by a panic in a goroutine of its own, which
// ends the process. So its last words are kept, and the next start takes what they
// name out of the store: a damaged part must not keep the hub from taking logs in.
const (
	// crashFile has what the runtime said when the process ended by a panic.
	crashFile = "crash.log"
	// asideDir has what was taken out of the store.
	asideDir = "damaged"
)

// mendStore sets aside what the last run found to be damaged, and keeps the last
// words of this one. Nothing has the store open yet.
func (p *parts) mendStore() error {
	path := filepath.Join(p.o.DataDir, crashFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read how the last run ended: %w", err)
	}
	if len(text) > 0 {
		if err := p.learnFrom(string(text)); err != nil {
			return err
		}
		if err := (durable.OS{}).Rename(path, path+".old"); err != nil {
			return fmt.Errorf("cannot put away how the last run ended: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot keep how this run ends: %w", err)
	}
	err = debug.SetCrashOutput(f, debug.CrashOptions{}) // it has a descriptor of its own
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot keep how this run ends: %w", err)
	}
	p.warnOfDamage()
	return nil
}

// learnFrom takes out of the store what a report of a crash names.
func (p *parts) learnFrom(report string) error {
	moved, err := store.SetAside(p.storeDir(), filepath.Join(p.o.DataDir, asideDir), report)
	if err != nil {
		return err
	}
	log := p.o.Log.WithField("report", filepath.Join(p.o.DataDir, crashFile+".old"))
	if moved == "" {
		log.Error("the last run ended by a panic")
		return nil
	}
	log.WithField("moved_to", moved).Error("the last run ended by damage in the store; what is damaged was set aside, and its records are not found any more")
	return nil
}

// warnOfDamage says at each start what is missing in the store.
func (p *parts) warnOfDamage() {
	aside := filepath.Join(p.o.DataDir, asideDir)
	if entries, err := os.ReadDir(aside); err == nil && len(entries) > 0 {
		p.o.Log.WithFields(logrus.Fields{"folder": aside, "parts": len(entries)}).
			Warn("parts of the store were damaged and are set aside: queries do not find their records; delete the folder when you do not need it any more")
	}
}

// reportDamage keeps the fault of a store that cannot be opened for the next start.
func (p *parts) reportDamage(fault error) error {
	path := filepath.Join(p.o.DataDir, crashFile)
	if err := durable.WriteFile(durable.OS{}, path, []byte(fault.Error()+"\n")); err != nil {
		return errors.Join(fault, err)
	}
	return fmt.Errorf("%w; the next start sets aside what is damaged, and goes on with the rest", fault)
}

func (p *parts) storeDir() string { return filepath.Join(p.o.DataDir, "store") }
