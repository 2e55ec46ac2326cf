package fieldedit

import (
	"bytes"
	"crypto/md5" //nolint:gosec // offered for those who compare with masks made before; the comment on Hash says what it is worth
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/pattern"
	"github.com/wasmtail/wasmtail/internal/record"
)

// Mask is a rule that replaces secrets in the values of fields.
type Mask struct {
	// Field is the name of the field. A * stands for any characters.
	Field string `yaml:"field" required:"true" example:"card"`
	// Pattern is a regular expression in RE2 syntax. Everything it matches is
	// replaced; if it has groups, only what they match, such as the value in
	// `password=(\S+)`. Without a pattern the whole value is replaced.
	Pattern string `yaml:"pattern"`
	// Replace is the text in the place of the secret.
	Replace string `yaml:"replace" default:"***"`
	// Hash puts the hash of the secret, in hexadecimal digits, in its place, so
	// that equal secrets can still be recognised: sha256, md5 (32 digits, only
	// for comparing with masks made elsewhere) or none. Short secrets such as
	// telephone numbers can be found by trying all of them: set a salt.
	Hash string `yaml:"hash" default:"none" enum:"none,sha256,md5"`
	// Salt is put before the secret when it is hashed. Keep it secret, and the
	// same wherever the hashes are compared.
	Salt config.Secret `yaml:"salt"`
}

func (m *Mask) check(at string, report func(key, problem string)) {
	if m.Field == "" {
		report(at+".field", "is empty; name the field with the secret")
	}
	if m.Pattern != "" {
		if _, err := pattern.Compile(m.Pattern); err != nil {
			report(at+".pattern", err.Error())
		}
	}
	switch m.Hash {
	case "", "none", "sha256", "md5":
	default:
		report(at+".hash", "must be sha256, md5 or none")
	}
	if m.Salt != "" && (m.Hash == "" || m.Hash == "none") {
		report(at+".salt", "has no effect without hash; set hash to sha256, or remove it")
	}
}

// mask is a compiled rule.
type mask struct {
	names   names
	re      *pattern.Regexp // nil: the whole value
	engine  *regexp.Regexp  // for patterns that look at what is before a match
	replace []byte
	hash    string
	salt    []byte
}

func (m *Mask) compile() (mask, error) {
	c := mask{names: newNames([]string{m.Field}), replace: []byte(m.Replace), hash: m.Hash, salt: []byte(m.Salt.Reveal())}
	if m.Pattern == "" {
		return c, nil
	}
	var err error
	if c.re, err = pattern.Compile(m.Pattern); err != nil {
		return c, err
	}
	tree, err := syntax.Parse(m.Pattern, syntax.Perl)
	if err != nil {
		return c, fmt.Errorf("cannot parse pattern %q: %w", m.Pattern, err)
	}
	if looksBehind(tree) {
		c.engine, err = regexp.Compile(m.Pattern)
	}
	return c, err
}

// looksBehind reports whether a match can depend on what is before it. Such
// patterns cannot be searched again in the rest of a value.
func looksBehind(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	for _, sub := range re.Sub {
		if looksBehind(sub) {
			return true
		}
	}
	return false
}

// secret is a text that was replaced. Both parts live as long as the batch.
type secret struct{ text, replacement []byte }

// work is the memory for one record. It holds parts of a batch only until the
// end of Process.
type work struct {
	secrets []secret
	spans   []span
	found   []int
	buffer  []byte
	spare   []byte
	salted  []byte
}

type span struct{ start, end int }

func (w *work) drop() {
	clear(w.secrets[:cap(w.secrets)])
	w.secrets = w.secrets[:0]
}

var withheld = []byte("(line withheld)")

// isLine reports whether a field of that name may hold a copy of the line.
func isLine(name []byte) bool { return string(name) == record.RawLog || string(name) == record.Content }

// maskRecord applies all rules to r.
func (p *Processor) maskRecord(b *record.Batch, r *record.Record) {
	p.work.secrets = p.work.secrets[:0]
	original := r.Raw
	for i := range p.masks {
		m := &p.masks[i]
		found := false
		for n := range r.Fields {
			if m.names.has(r.Fields[n].Name) {
				found = true
				p.maskField(b, r, n, m)
			}
		}
		if r.Marks&record.Failed != 0 && m.re != nil && (!found || len(m.names.globs) > 0) {
			if _, at := r.Field(record.RawLog); at >= 0 {
				p.maskField(b, r, at, m)
			}
		}
	}
	if len(p.work.secrets) > 0 {
		p.scrub(b, r, original)
	}
}

// maskField applies a rule to one field. A field that holds the whole line is
// masked together with the line and its copies; secrets of other fields are
// noted for scrub.
func (p *Processor) maskField(b *record.Batch, r *record.Record, n int, m *mask) {
	w, value := &p.work, r.Fields[n].Value
	before := len(w.secrets)
	masked, changed := m.apply(b, w, value)
	if !changed {
		return
	}
	if !bytes.Equal(value, r.Raw) {
		r.Fields[n].Value = masked
		return
	}
	w.secrets = w.secrets[:before]
	r.Raw = masked
	r.Fields[n].Value = masked
	for i := range r.Fields {
		if isLine(r.Fields[i].Name) && bytes.Equal(r.Fields[i].Value, value) {
			r.Fields[i].Value = masked
		}
	}
}

// scrub takes the noted secrets out of the line, which was original when r
// came, and out of the fields that may hold copies of it.
func (p *Processor) scrub(b *record.Batch, r *record.Record, original []byte) {
	line, w := r.Raw, &p.work
	scrubbed, lost := line, false
	for _, s := range w.secrets {
		if bytes.Contains(scrubbed, s.text) {
			scrubbed = w.replaceAll(scrubbed, s)
		} else if !bytes.Contains(original, s.text) {
			lost = true // else an earlier rule has replaced it
		}
	}
	if r.Raw = withheld; !lost {
		r.Raw = b.Copy(scrubbed)
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case !isLine(f.Name):
		case bytes.Equal(f.Value, line):
			f.Value = r.Raw
		default:
			f.Value = p.without(b, f.Value)
		}
	}
}

// without returns text, or a copy of it in which all noted secrets are
// replaced.
func (p *Processor) without(b *record.Batch, text []byte) []byte {
	scrubbed, changed := text, false
	for _, s := range p.work.secrets {
		if bytes.Contains(scrubbed, s.text) {
			scrubbed, changed = p.work.replaceAll(scrubbed, s), true
		}
	}
	if changed {
		return b.Copy(scrubbed)
	}
	return text
}

// replaceAll returns text with a secret replaced, valid until the call after
// the next.
func (w *work) replaceAll(text []byte, s secret) []byte {
	dst := w.spare[:0]
	for {
		i := bytes.Index(text, s.text)
		if i < 0 {
			break
		}
		dst = append(append(dst, text[:i]...), s.replacement...)
		text = text[i+len(s.text):]
	}
	w.spare, w.buffer = w.buffer, append(dst, text...)
	return w.buffer
}

// apply returns value with its secrets replaced, in new arena bytes, and notes
// them.
func (m *mask) apply(b *record.Batch, w *work, value []byte) (masked []byte, changed bool) {
	m.find(w, value)
	if len(w.spans) == 0 {
		return value, false
	}
	out, at := w.buffer[:0], 0
	for _, s := range w.spans {
		text := value[s.start:s.end]
		replacement := m.replacement(b, w, text)
		out = append(append(out, value[at:s.start]...), replacement...)
		at = s.end
		w.secrets = append(w.secrets, secret{text, replacement})
	}
	w.buffer = append(out, value[at:]...)
	return b.Copy(w.buffer), true
}

func (m *mask) replacement(b *record.Batch, w *work, text []byte) []byte {
	if m.hash != "sha256" && m.hash != "md5" {
		return m.replace
	}
	w.salted = append(append(w.salted[:0], m.salt...), text...)
	if m.hash == "md5" {
		sum := md5.Sum(w.salted) //nolint:gosec // see the import
		return appendHex(b, sum[:])
	}
	sum := sha256.Sum256(w.salted)
	return appendHex(b, sum[:])
}

func appendHex(b *record.Batch, sum []byte) []byte {
	dst := b.Alloc(hex.EncodedLen(len(sum)))
	hex.Encode(dst, sum)
	return dst
}

// find sets w.spans to the secrets in value, in order and apart.
func (m *mask) find(w *work, value []byte) {
	w.spans = w.spans[:0]
	switch {
	case m.re == nil:
		if len(value) > 0 {
			w.spans = append(w.spans, span{0, len(value)})
		}
		return
	case m.engine != nil:
		if !m.re.Match(value) {
			return
		}
		for _, found := range m.engine.FindAllSubmatchIndex(value, -1) {
			w.addMatch(found, 0)
		}
		return
	}
	for at := 0; at <= len(value); {
		found := m.re.FindSubmatchIndex(w.found[:0], value[at:])
		if found == nil {
			return
		}
		w.found = found
		w.addMatch(found, at)
		if end := found[1]; end > 0 {
			at += end
			continue
		}
		_, size := utf8.DecodeRune(value[at:])
		at += max(size, 1)
	}
}

// addMatch adds the groups of a match, or all of it when none took part.
func (w *work) addMatch(found []int, at int) {
	first := len(w.spans)
	for i := 2; i < len(found); i += 2 {
		w.addSpan(first, span{at + found[i], at + found[i+1]}, found[i] >= 0)
	}
	took := false
	for i := 2; i < len(found); i += 2 {
		took = took || found[i] >= 0
	}
	w.addSpan(first, span{at + found[0], at + found[1]}, !took)
}

// addSpan puts a span, if it is wanted and not empty, in its place among those
// from first on, and joins it with those it touches.
func (w *work) addSpan(first int, s span, wanted bool) {
	if !wanted || s.start == s.end {
		return
	}
	i := len(w.spans)
	for i > first && w.spans[i-1].start > s.start {
		i--
	}
	w.spans = append(w.spans, span{})
	copy(w.spans[i+1:], w.spans[i:])
	w.spans[i] = s
	out := first
	for n := first + 1; n < len(w.spans); n++ {
		if w.spans[n].start < w.spans[out].end {
			w.spans[out].end = max(w.spans[out].end, w.spans[n].end)
			continue
		}
		out++
		w.spans[out] = w.spans[n]
	}
	w.spans = w.spans[:out+1]
}
