package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/wasmtail/wasmtail/internal/durable"
)

// partsFile lists the parts of a day. The engine deletes parts that it does not
// list.
const partsFile = "parts.json"

// SetAside moves what a fault of the engine names as damaged out of the store in
// dir, to the folder aside: one part of a day's records if the fault lies in it,
// else the whole day. It returns where that is now, "" if the fault names no file
// of the store. The engine reports damage by a panic, often where nobody can take
// it: text is what the process said at its end. Nothing may have the store open.
//
// What was set aside is kept as it was; its records are not found any more.
func SetAside(dir, aside, text string) (moved string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find the store: %w", err)
	}
	m := damaged(dir).FindStringSubmatch(text)
	if m == nil {
		return "", nil
	}
	half, day, part := m[1], m[2], m[3]
	partition := filepath.Join(dir, half, "partitions", day)
	from, name := partition, day+"-"+half
	if part != "" && unlist(filepath.Join(partition, "datadb", partsFile), filepath.Base(part)) == nil { // else the list is damaged, too
		from, name = filepath.Join(partition, part), name+"-"+filepath.Base(part)
	}
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return "", nil // it was moved before
	}
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("cannot set aside what is damaged in the store: %w", err)
	}
	to := filepath.Join(aside, name)
	for n := 2; exists(to); n++ {
		to = filepath.Join(aside, fmt.Sprintf("%s-%d", name, n))
	}
	if err := (durable.OS{}).Rename(from, to); err != nil {
		return "", fmt.Errorf("cannot set aside what is damaged in the store: %w", err)
	}
	return to, errors.Join(durable.OS{}.SyncDir(filepath.Dir(from)), durable.OS{}.SyncDir(aside))
}

// damaged finds the half, the day and, if there is one, the part of a file of the
// store in dir that a fault names.
func damaged(dir string) *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(dir) + `/([a-z])/partitions/(\d{8})(?:/(datadb/[0-9A-F]{16})\b)?`)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// unlist takes a part out of the list of its day.
func unlist(list, part string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return fmt.Errorf("cannot read the list of parts: %w", err)
	}
	var parts []string
	if err := json.Unmarshal(text, &parts); err != nil {
		return fmt.Errorf("cannot read the list of parts: %w", err)
	}
	text, err = json.Marshal(slices.DeleteFunc(parts, func(name string) bool { return name == part }))
	if err != nil {
		return fmt.Errorf("cannot write the list of parts: %w", err)
	}
	return durable.WriteFile(durable.OS{}, list, text)
}
