package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel/metric"

	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/internal/telemetry"
)

// Loss is a range of a file that will not be delivered, or not to one output.
type Loss struct {
	Time time.Time `json:"time"`
	// Pipeline has lost what it had not read or not delivered; or Output what it
	// had stored.
	Pipeline   string `json:"pipeline,omitempty"`
	Output     string `json:"output,omitempty"`
	Path       string `json:"path,omitempty"`
	Generation string `json:"generation,omitempty"`
	// Start and End are byte offsets of the generation.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// Records is how many were in it, 0 if nobody had counted them.
	Records int    `json:"records,omitempty"`
	Reason  string `json:"reason"`
}

// LossStatus sums up what was lost since the agent was started.
type LossStatus struct {
	Ranges int64 `json:"ranges"`
	Bytes  int64 `json:"bytes"`
	// File has each of them on a line, with those of earlier runs.
	File string `json:"file,omitempty"`
}

// losses keeps a record of every loss: the log may hold messages back that come
// too often, and an account of what is gone must be complete.
type losses struct {
	path string
	log  logrus.FieldLogger

	mu     sync.Mutex
	status LossStatus
}

const (
	lossesFile = "losses.jsonl"
	// lossesBytesMax is when the file is put aside as losses.jsonl.1, in place of
	// the one before: some 60,000 ranges.
	lossesBytesMax = 16 << 20
)

// newLosses returns the record of a state folder.
func newLosses(dir string, log logrus.FieldLogger) (*losses, error) {
	l := &losses{path: filepath.Join(dir, lossesFile), log: log}
	if err := telemetry.LostBytes.ObserveCounter(func() int64 { return l.sum().Bytes }, metric.WithAttributes()); err != nil {
		return nil, fmt.Errorf("cannot make the metrics of losses: %w", err)
	}
	return l, nil
}

// add keeps a loss. It does not fail: what cannot be written is in the log.
func (l *losses) add(x Loss) {
	x.Time = time.Now().UTC()
	line, err := json.Marshal(&x)
	if err != nil {
		panic("BUG: " + err.Error()) // of texts and numbers
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Ranges++
	l.status.Bytes += x.End - x.Start
	l.status.File = l.path
	if err := l.write(append(line, '\n')); err != nil {
		l.log.WithError(err).WithField("loss", string(line)).Error("a loss cannot be written to " + lossesFile)
	}
}

func (l *losses) write(line []byte) (err error) {
	if info, err := os.Stat(l.path); err == nil && info.Size() > lossesBytesMax {
		if err := (durable.OS{}).Rename(l.path, l.path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

func (l *losses) sum() LossStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}
