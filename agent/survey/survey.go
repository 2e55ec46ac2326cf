// Package survey finds the log files of this machine, recognises their formats
// and says of each that cannot be read why, and which command mends it.
//
// It reads the first bytes of files, never follows a link out of the folders
// it is given, and bounds how deep and how many files it looks at. It keeps no
// state and starts no goroutines.
package survey

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wasmtail/wasmtail/internal/access"
	"github.com/wasmtail/wasmtail/internal/formats"
)

// Root is a folder to look into.
type Root struct {
	Dir string
	// Suffixes a file must end in; none: any text file.
	Suffixes []string
	// DepthMax is how many folders deep to look; 0 looks at Dir only.
	DepthMax int
}

// MachineRoots are the folders where logs usually are: /var/log, container
// logs, and *.log under the folder cwd.
func MachineRoots(cwd string) []Root {
	return []Root{
		{Dir: "/var/log", DepthMax: 4},
		{Dir: "/var/lib/docker/containers", Suffixes: []string{"-json.log"}, DepthMax: 1},
		{Dir: cwd, Suffixes: []string{".log"}, DepthMax: 3},
	}
}

// File is one file that was found.
type File struct {
	Path   string
	Size   int64
	Format formats.Result
	// Problem says why the file cannot be collected, "" if it can; Fix is the
	// command that mends it, "" if there is none.
	Problem, Fix string
}

// filesMax bounds the survey of a machine with a folder gone wild.
const filesMax = 5000

// Find looks into roots and returns the log files in them, readable ones
// first, each file once. skip is left out, such as the program's own state.
func Find(roots []Root, skip string) []File {
	var files []File
	seen := map[string]bool{}
	for _, root := range roots {
		_ = filepath.WalkDir(root.Dir, func(path string, d fs.DirEntry, err error) error {
			if path == skip || len(files) >= filesMax {
				return fs.SkipDir
			}
			if d == nil || !seen[path] && err != nil && d.IsDir() {
				return unreadableDir(path, err, &files)
			}
			if d.IsDir() {
				return enter(root, path, d)
			}
			if f, ok := look(roots, root, path, d); ok && !seen[f.Path] {
				seen[f.Path] = true
				files = append(files, f)
			}
			return nil
		})
	}
	slices.SortStableFunc(files, func(a, b File) int {
		if (a.Problem == "") != (b.Problem == "") {
			return map[bool]int{true: -1, false: 1}[a.Problem == ""]
		}
		return strings.Compare(a.Path, b.Path)
	})
	return files
}

// notForLogs are folders whose files are no logs of anything that runs, or are
// read in another way.
var notForLogs = []string{"journal", "node_modules", "testdata"}

// enter says whether to look into a folder.
func enter(root Root, path string, d fs.DirEntry) error {
	rel, err := filepath.Rel(root.Dir, path)
	if err != nil {
		return fs.SkipDir
	}
	depth := 0
	if rel != "." {
		depth = strings.Count(rel, string(filepath.Separator)) + 1
	}
	hidden := strings.HasPrefix(d.Name(), ".") && rel != "."
	if depth > root.DepthMax || hidden || rel != "." && slices.Contains(notForLogs, d.Name()) {
		return fs.SkipDir
	}
	return nil
}

func unreadableDir(path string, err error, files *[]File) error {
	if errors.Is(err, fs.ErrPermission) {
		why := access.Explain(path, err)
		*files = append(*files, File{Path: path, Problem: why.Reason, Fix: why.Fix})
	}
	return fs.SkipDir
}

// look judges one file; ok is false if it is not a log.
func look(roots []Root, root Root, path string, d fs.DirEntry) (f File, ok bool) {
	if !hasSuffix(d.Name(), root.Suffixes) || isArchive(d.Name()) {
		return File{}, false
	}
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(path)
		if err != nil || !isBelow(roots, target) {
			return File{}, false
		}
		path = target
	} else if !d.Type().IsRegular() {
		return File{}, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return File{}, false
	}
	f = File{Path: path, Size: info.Size()}
	sample, err := readSample(path)
	switch {
	case err != nil:
		why := access.Explain(path, err)
		f.Problem, f.Fix = why.Reason, why.Fix
		return f, true
	case slices.Contains(sample, 0): // binary: wtmp, journals, databases
		return File{}, false
	}
	f.Format = formats.Detect(sample)
	return f, true
}

// isBelow tells links within the folders from those that lead out of them.
func isBelow(roots []Root, path string) bool {
	return slices.ContainsFunc(roots, func(r Root) bool { return strings.HasPrefix(path, r.Dir+string(filepath.Separator)) })
}

func hasSuffix(name string, suffixes []string) bool {
	return len(suffixes) == 0 || slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

// isArchive tells rotated and compressed generations, which are history.
func isArchive(name string) bool {
	switch ext := filepath.Ext(name); ext {
	case ".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".old", ".journal":
		return true
	default:
		_, err := strconv.Atoi(strings.TrimPrefix(ext, "."))
		return ext != "" && err == nil // app.log.1
	}
}

func readSample(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, formats.SampleBytes))
}
