package wasmhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/durable"
	"github.com/wasmtail/wasmtail/sdk/abi"
)

// Case is one golden case of a parser: lines, a configuration, tables, and the
// rows that must come out. Its files lie in one folder: NAME.log, and if there
// are such NAME.config.json, NAME.table0.csv and so on, and NAME.out.jsonl.
type Case struct {
	Name string
	dir  string
}

// Cases lists the cases of a folder by name.
func Cases(dir string) ([]Case, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, fmt.Errorf("cannot list the cases of %s: %w", dir, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no cases: write lines to NAME.log there", dir)
	}
	var cases []Case
	for _, path := range found {
		cases = append(cases, Case{Name: strings.TrimSuffix(filepath.Base(path), ".log"), dir: dir})
	}
	return cases, nil
}

func (c *Case) path(suffix string) string { return filepath.Join(c.dir, c.Name+suffix) }

// Test runs the case with a module: the whole at once, one line a batch, in
// batches of random sizes, and as a batch that failed before. All must give the rows of the golden file, which
// update writes anew. The error shows the first difference.
func (c *Case) Test(ctx context.Context, h *Host, module string, update bool) error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same sizes each time
	ways := []struct {
		name  string
		sizes func(int) int
		flags uint32
	}{
		{"all lines at once", whole, 0},
		{"one line a batch", single, 0},
		{"batches of random sizes", func(left int) int { return 1 + random.IntN(min(left, 7)) }, 0},
		{"the flag RETRY", whole, abi.FlagRetry},
	}
	var want [][]byte
	if !update {
		text, err := os.ReadFile(c.path(".out.jsonl"))
		if err != nil {
			return fmt.Errorf("case %s has no golden file: %w; write it with --update, and read it", c.Name, err)
		}
		want = splitLines(text)
	}
	lines, err := c.lines()
	if err != nil {
		return err
	}
	t, err := c.try(ctx, h, module)
	if err != nil {
		return fmt.Errorf("case %s: %w", c.Name, err)
	}
	defer t.Close()
	for i, way := range ways {
		t.restart()
		t.flags = way.flags
		rows, err := t.Rows(lines, way.sizes)
		if err != nil {
			return fmt.Errorf("case %s, %s: %w", c.Name, way.name, err)
		}
		if i == 0 && update {
			text := append(bytes.Join(rows, []byte("\n")), '\n')
			if err := durable.WriteFile(durable.OS{}, c.path(".out.jsonl"), text); err != nil {
				return fmt.Errorf("cannot write the golden file of case %s: %w", c.Name, err)
			}
			want = rows
		}
		if err := sameRows(want, rows); err != nil {
			return fmt.Errorf("case %s, %s: %w", c.Name, way.name, err)
		}
	}
	return nil
}

func (c *Case) lines() ([][]byte, error) {
	text, err := os.ReadFile(c.path(".log"))
	if err != nil {
		return nil, fmt.Errorf("cannot read case %s: %w", c.Name, err)
	}
	return splitLines(text), nil
}

func splitLines(text []byte) [][]byte {
	if len(text) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// try loads the module with what the case gives it.
func (c *Case) try(ctx context.Context, h *Host, module string) (*Trial, error) {
	spec := Spec{Path: module}
	config, err := os.ReadFile(c.path(".config.json"))
	if err == nil {
		spec.Config = config
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read its configuration: %w", err)
	}
	for i := 0; ; i++ {
		path := c.path(".table" + strconv.Itoa(i) + ".csv")
		if _, err := os.Stat(path); err != nil {
			break
		}
		table, err := OpenTable(strconv.Itoa(i), path)
		if err != nil {
			return nil, err
		}
		spec.Tables = append(spec.Tables, table)
	}
	return h.Try(ctx, spec)
}

// sameRows reports the first row that is not as wanted. How texts are escaped
// does not matter, the order of fields does.
func sameRows(want, got [][]byte) error {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return fmt.Errorf("row %d is missing:\n  want %s", i+1, want[i])
		case i >= len(want):
			return fmt.Errorf("row %d is not wanted:\n  got  %s", i+1, got[i])
		}
		a, errA := tokens(want[i])
		b, errB := tokens(got[i])
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			return fmt.Errorf("row %d differs:\n  want %s\n  got  %s", i+1, want[i], got[i])
		}
	}
	return nil
}

// tokens are the parts of a JSON text, texts without their escapes.
func tokens(text []byte) (list []string, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read a row: %w", err)
		}
		if n, ok := token.(json.Number); ok {
			if i, err := n.Int64(); err == nil {
				token = i
			} else if f, err := n.Float64(); err == nil {
				token = f
			}
		}
		list = append(list, fmt.Sprintf("%T %v", token, token))
	}
}
