package documents

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/wasmtail/wasmtail/internal/formats"
)

// FormatsPath is where the reference of the log formats lies. formatsGolden has
// the records that the processors make of their samples, and formatsSource the
// formats.
const (
	FormatsPath   = "docs/formats.md"
	formatsGolden = "plugins/testdata/formats"
	formatsSource = "internal/formats/catalogue"
)

const formatsIntro = `# Log formats

<!-- Made from the files in %s: change those, then run make generate. -->

A pipeline that names a format needs no patterns of its own:

` + "```yaml" + `
pipelines:
  web:
    input: {type: files, include: [/var/log/nginx/access.log]}
    format: nginx_access
    outputs: [hub]
` + "```" + `

The format frames the records, where they have several lines and the input has no ` + "`multiline`" + `, and takes them apart before the pipeline's own processors, which see its fields. *wasmtail formats show NAME* prints what it stands for, as keys to paste and change.

## auto

` + "`format: auto`" + ` finds the format of each file by itself:

- It looks at the first lines of the file, at most 200 of its first 32 KiB. A format fits if three lines in four are its own: they begin a record, or go on with one and look like it, being indented, of a stack trace, or as the format says. Other lines count against it, although they are framed with the record before them: as a rule they are of another program that writes to the same place. Of several, the one wins that more lines fit; one that says more of a line is preferred to one it refines, even if it fits up to a tenth of the lines less.
- The agent's log says once for each file which format it has, and which share of how many lines fit. *wasmtail status* shows it too, and each record has it in the field ` + "`__format__`" + `.
- A file that no format fits is plain: its lines stay whole, in ` + "`content`" + `, and log, status and records say so.
- The first lines of a file wait until there are 20 of them or 32 KiB, or for 3 seconds, so that all go out in one format. They wait in memory too, at most 4 MiB of all files: if the file is truncated meanwhile, they are not lost. A file that goes on under another name waits no longer than until the next one has lines.
- The decision stays for this life of the file, over restarts too: the checkpoint has it. Only where it rests on less than 20 lines of no known format, or less than 5 of one that is, the next lines are looked at again, together with all before them, and the log tells of a change. A file that is truncated or created anew is looked at again.
- Lines that come later and are of another kind fail, and keep their text in ` + "`__raw_log__`" + ` as with any processor.

*wasmtail formats detect FILE...* says what ` + "`auto`" + ` would find, how sure it is, and what the next best is.

Times that say no zone are taken as those of this machine, and those that say no year as the latest that fits: see the [time processor](configuration.md#processor-time). Levels stay as they are written.

## All formats

The last column is what it costs to take one record of the sample apart, in nanoseconds of one core (of an AMD EPYC of 2024): *go test ./plugins -run '^$' -bench Formats -costs* measures it.

| name | what it is | lines a record | ns a record |
|---|---|---|---:|
`

// formatsPage describes the formats.
func formatsPage(srcRoot string) ([]byte, error) {
	costs, err := formatCosts(srcRoot)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, formatsIntro, formatsSource)
	for _, f := range formats.Catalogue() {
		lines := "one"
		if f.Multiline != (formats.Multiline{}) {
			lines = "several"
		}
		cost, ok := costs[f.Name]
		if !ok {
			return nil, fmt.Errorf("cannot say what format %s costs: it is not measured; run go test ./plugins -run '^$' -bench Formats -costs", f.Name)
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", f.Name, f.Name, strings.ReplaceAll(f.Description, "|", "\\|"), lines, cost)
	}
	b.WriteString(`
## To add one

Add a file to ` + formatsSource + `; its name is the name of the format. Its keys are ` + "`description`, `url`, `detect`, `refines`, `multiline`, `header`, `body`, `processors` and `sample`" + `, as in the files that are there. ` + "`detect`" + ` matches the first line of a record and as few lines of other kinds as it can; ` + "`refines`" + ` names formats that fit the same lines and say less; ` + "`body`" + ` matches what goes on with a record and is neither indented nor of a stack trace, and ` + "`header`" + ` lines that name the columns of others. *go test ./internal/formats* says whether it is told from all others, *go test ./plugins -update* writes the records it makes, to be read before they are kept, the benchmark above what they cost, and *make generate* writes this page.
`)
	for _, f := range formats.Catalogue() {
		golden, err := os.ReadFile(filepath.Join(srcRoot, filepath.FromSlash(path.Join(formatsGolden, f.Name+".golden"))))
		if err != nil {
			return nil, fmt.Errorf("cannot describe the format %s: %w", f.Name, err)
		}
		writeFormat(&b, f, string(golden))
	}
	return b.Bytes(), nil
}

// formatCosts reads what a record of each format costs, by its name.
func formatCosts(srcRoot string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(srcRoot, filepath.FromSlash(formatsGolden), "costs.tsv"))
	if err != nil {
		return nil, fmt.Errorf("cannot say what the formats cost: %w", err)
	}
	costs := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, cost, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		costs[name] = cost
	}
	return costs, nil
}

func writeFormat(b *bytes.Buffer, f *formats.Format, golden string) {
	fmt.Fprintf(b, "\n### %s\n\n%s. [Where it is described](%s).\n\n", f.Name, f.Description, f.URL)
	fmt.Fprintf(b, "```text\n%s```\n\n", f.Sample)
	m := f.Multiline
	if m.Start != "" {
		fmt.Fprintf(b, "A record begins at each line that matches `%s`.\n\n", m.Start)
	}
	if m.Continue != "" {
		fmt.Fprintf(b, "A line that matches `%s` belongs to the record before it.\n\n", m.Continue)
	}
	if m.Head != "" {
		fmt.Fprintf(b, "A line that matches `%s` belongs to the record whose beginning is in the lines behind it.\n\n", m.Head)
	}
	if f.Header != "" {
		fmt.Fprintf(b, "A line that matches `%s` names the columns of those after it.\n\n", f.Header)
	}
	fmt.Fprintf(b, "```yaml\n%s```\n\n", f.Processors)
	first, _, _ := strings.Cut(golden, "\n}\n")
	fmt.Fprintf(b, "The first record:\n\n```json\n%s\n}\n```\n", first)
}
