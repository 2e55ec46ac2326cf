package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasmtail/wasmtail/internal/config"
)

// ConfigStatus says which configuration runs.
type ConfigStatus struct {
	// LoadedAt is when the one that runs was taken.
	LoadedAt time.Time `json:"loaded_at"`
	// Error says why a newer one was refused at RefusedAt, "" when none was since.
	Error     string    `json:"error,omitempty"`
	RefusedAt time.Time `json:"refused_at,omitzero"`
}

// reload reads the configuration again and changes to it. What is as it was runs
// on; a pipeline that changed goes on where its bytes were acknowledged. A
// configuration that cannot be used leaves everything as it is.
func (a *agent) reload(r runner) {
	file, err := a.o.Load()
	var next set
	if err == nil {
		next, err = a.prepare(r.soft, file)
	}
	if err != nil {
		a.o.Log.WithError(err).Error("the new configuration is refused; the old one goes on")
		a.mu.Lock()
		a.config.Error, a.config.RefusedAt = err.Error(), time.Now()
		a.mu.Unlock()
		return
	}
	for _, w := range file.Warnings {
		a.o.Log.Warn(w.Error())
	}
	before := a.active
	a.halt(r, before, next)
	a.applyLimits(file.Limits)
	a.mu.Lock()
	a.active, a.config = next, ConfigStatus{LoadedAt: time.Now()}
	a.mu.Unlock()
	r.start(next, before)
	a.estate.Close(func(pipeline string) bool { return next.pipelines[pipeline] != nil })
	a.o.Log.WithField("changed", strings.Join(changes(before, next), ", ")).Info("a new configuration runs")
}

// refusedConfigs is 1 while a newer configuration than the one that runs was
// refused.
func (a *agent) refusedConfigs() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config.Error != "" {
		return 1
	}
	return 0
}

// prepare builds what a configuration changes.
func (a *agent) prepare(ctx context.Context, file *config.File) (set, error) {
	if err := fixed(a.active.file, file); err != nil {
		return set{}, err
	}
	next, err := a.build(ctx, file, a.active)
	if err != nil {
		return set{}, err
	}
	if err := a.modules.RefusedChange(); err != nil {
		next.abandon(a.active)
		return set{}, fmt.Errorf("cannot change a module: %w", err)
	}
	return next, nil
}

// fixed reports settings that a running agent cannot change.
func fixed(before, file *config.File) error {
	var problems []error
	for _, setting := range []struct {
		name    string
		changed bool
	}{
		{"data_dir", before.DataDir != file.DataDir},
		{"admin", before.Admin != file.Admin},
		{"log", before.Log != file.Log},
		{"modules.require_signed_by", !slices.Equal(before.Modules.RequireSignedBy, file.Modules.RequireSignedBy)},
	} {
		if setting.changed {
			problems = append(problems, fmt.Errorf("cannot change %s while the agent runs: restart it", setting.name))
		}
	}
	return errors.Join(problems...)
}

// halt stops what is in before and not in next, and waits until it has ended: the
// inputs first, then the delivery of what they had read, for as long as a stop of
// the agent may take. What is not delivered by then is given back.
func (a *agent) halt(r runner, before, next set) {
	ctx, cancel := context.WithTimeout(r.hard, a.o.StopTimeout)
	defer cancel()
	var pipelines, outlets sync.WaitGroup
	for name, p := range before.pipelines {
		if next.pipelines[name] != p {
			p.stop()
			pipelines.Go(func() {
				stopNow := context.AfterFunc(ctx, p.stopNow)
				<-p.ended
				stopNow()
				p.pipeline.Settle(ctx)
			})
		}
	}
	pipelines.Wait()
	for name, o := range before.outlets {
		if next.outlets[name] != o {
			o.Close()
			outlets.Go(func() {
				select {
				case <-o.ended:
				case <-ctx.Done():
				}
				o.stop()
				<-o.ended
			})
		}
	}
	outlets.Wait()
}

// abandon frees what was built of s and does not run: all that is not in before.
func (s set) abandon(before set) {
	for name, p := range s.pipelines {
		if before.pipelines[name] != p {
			p.pipeline.Close()
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, o := range s.outlets {
		if before.outlets[name] != o {
			o.Close()
			o.Run(ended)
		}
	}
}

// sameOutput reports whether an output of s is as a configuration has it.
func (s set) sameOutput(name string, file *config.File) bool {
	return s.outlets[name] != nil && s.file.Cache == file.Cache && reflect.DeepEqual(s.file.Outputs[name], file.Outputs[name])
}

// samePipeline reports whether a pipeline of s, and what it uses, is as a
// configuration has it.
func (s set) samePipeline(name string, file *config.File) bool {
	if s.pipelines[name] == nil || !reflect.DeepEqual(s.file.Pipelines[name], file.Pipelines[name]) ||
		inputFilesMax(s.file) != inputFilesMax(file) || batchOf(s.file, name) != batchOf(file, name) {
		return false
	}
	return !slices.ContainsFunc(file.Pipelines[name].Outputs, func(o string) bool { return !s.sameOutput(o, file) })
}

// changes names what differs between two sets.
func changes(before, next set) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(next.outlets)) {
		if before.outlets[name] != next.outlets[name] {
			names = append(names, "output "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(next.pipelines)) {
		if before.pipelines[name] != next.pipelines[name] {
			names = append(names, "pipeline "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.pipelines)) {
		if next.pipelines[name] == nil {
			names = append(names, "pipeline "+name+" (ended)")
		}
	}
	return names
}
