package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on one configuration file. They are far above what people write and
// far below what hurts: a file is read before anything limits memory.
const (
	fileBytesMax = 1 << 20
	depthMax     = 64
	// nodesMax bounds the values of a file after aliases are expanded.
	nodesMax = 100_000
	// keysMax bounds the keys of one set: the parser's time grows with their
	// square.
	keysMax = 10_000
	// blankLinesMax bounds the blank lines in a row, for the same reason.
	blankLinesMax = 1000
)

// source is a file that nodes came from.
type source struct {
	name string // as shown to the user
	dir  string // where relative paths start
}

// place is a position in a source.
type place struct {
	src       *source
	line, col int
}

type kind uint8

const (
	kindNull kind = iota
	kindScalar
	kindSequence
	kindMapping
)

// node is a YAML value, freed of what only the parser cares about. Nodes are
// shared by aliases and never change once built.
type node struct {
	kind  kind
	at    place
	text  string // of a scalar
	plain bool   // a scalar without quotes, which may be a number or a boolean
	items []*node
	pairs []pair
	size  int // values below and with this one, aliases expanded
}

type pair struct {
	key   string
	at    place
	value *node
}

// get returns the value of key, or nil.
func (n *node) get(key string) *node {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return n.pairs[i].value
		}
	}
	return nil
}

// treeBuilder turns the library's syntax tree into nodes.
type treeBuilder struct {
	src     *source
	anchors map[string]*node
	faults  Faults
	over    bool // the bound on values has been reported
}

// parseTree parses one YAML document. The node is nil when the faults leave
// nothing to look at.
func parseTree(src *source, data []byte) (*node, Faults) {
	b := &treeBuilder{src: src, anchors: map[string]*node{}}
	if len(data) > fileBytesMax {
		b.fault(place{src: src}, fmt.Sprintf("is larger than %s, the limit for a configuration file", Size(fileBytesMax)))
		return nil, b.faults
	}
	if line := tooBlank(data); line > 0 {
		b.fault(place{src, line, 1}, fmt.Sprintf("has more than %d blank lines in a row", blankLinesMax))
		return nil, b.faults
	}
	file := b.parse(data)
	if file == nil {
		return nil, b.faults
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			b.fault(b.startOf(doc.Body), "a file holds one YAML document: move what follows `---` to a file of its own")
			return nil, b.faults
		}
		body = doc.Body
	}
	if body == nil {
		b.fault(place{src, 1, 1}, "the file is empty: start with `version: 1`")
		return nil, b.faults
	}
	root := b.node(body, 0)
	return root, b.faults
}

// parse runs the library. A panic in it is a fault of the file: whatever a
// user types must not end the process.
func (b *treeBuilder) parse(data []byte) (file *ast.File) {
	defer func() {
		if r := recover(); r != nil {
			file = nil
			b.fault(place{b.src, 1, 1}, "is not valid YAML (the parser gave up)")
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if at, deep := tooDeep(tokens); deep {
		b.fault(place{b.src, at.Line, at.Column}, fmt.Sprintf("is nested more than %d levels deep", depthMax))
		return nil
	}
	if i := slices.IndexFunc(tokens, func(tk *token.Token) bool { return tk.Type == token.MappingKeyType }); i >= 0 {
		at := tokens[i].Position
		b.fault(place{b.src, at.Line, at.Column}, "keys that start with `? ` are not supported: write `key: value`")
		return nil
	}
	if at, wide := tooWide(tokens); wide {
		b.fault(place{b.src, at.Line, at.Column}, fmt.Sprintf("has more than %d keys in one set: spread them over several files", keysMax))
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at := place{b.src, 1, 1}
		message := "cannot be parsed"
		if syntax, ok := errors.AsType[yaml.Error](err); ok {
			message = syntax.GetMessage()
			if tk := syntax.GetToken(); tk != nil && tk.Position != nil {
				at.line, at.col = tk.Position.Line, tk.Position.Column
			}
		}
		b.fault(at, "is not valid YAML: "+message)
		return nil
	}
	return file
}

// tooDeep finds nesting that the recursive parser must not see.
func tooDeep(tokens token.Tokens) (*token.Position, bool) {
	flow, line, nested := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line && flow == 0 {
			line, nested = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
			nested = 0
		case token.CollectEntryType:
			nested = 0
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType, token.MergeKeyType:
			nested++
		}
		if flow > depthMax || nested > depthMax {
			return tk.Position, true
		}
	}
	return nil, false
}

// tooBlank returns the line at which there are too many blank ones, or 0.
func tooBlank(data []byte) int {
	line, blank := 0, 0
	for text := range bytes.Lines(data) {
		line++
		if len(bytes.TrimSpace(text)) > 0 {
			blank = 0
			continue
		}
		if blank++; blank > blankLinesMax {
			return line
		}
	}
	return 0
}

// tooWide finds sets with more keys than the parser can take in good time. Keys
// in one column belong to one set until a key stands further to the left.
func tooWide(tokens token.Tokens) (*token.Position, bool) {
	type column struct{ col, keys int }
	var open []column
	for _, tk := range tokens {
		if tk.Type != token.MappingValueType || tk.Prev == nil {
			continue
		}
		col := tk.Prev.Position.Column
		for len(open) > 0 && open[len(open)-1].col > col {
			open = open[:len(open)-1]
		}
		if len(open) == 0 || open[len(open)-1].col < col {
			open = append(open, column{col: col})
		}
		last := &open[len(open)-1]
		if last.keys++; last.keys > keysMax {
			return tk.Position, true
		}
	}
	return nil, false
}

func (b *treeBuilder) fault(at place, problem string) {
	b.faults = append(b.faults, Fault{File: at.src.name, Line: at.line, Column: at.col, Problem: problem})
}

func (b *treeBuilder) place(n ast.Node) place {
	p := place{src: b.src, line: 1, col: 1}
	if n != nil {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			p.line, p.col = tk.Position.Line, tk.Position.Column
		}
	}
	return p
}

func (b *treeBuilder) node(n ast.Node, depth int) *node {
	if depth > depthMax {
		b.fault(b.place(n), fmt.Sprintf("is nested more than %d levels deep", depthMax))
		return &node{at: b.place(n), size: 1}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(b.startOf(n), n.Values, depth)
	case *ast.MappingValueNode:
		return b.mapping(b.startOf(n), []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		return b.sequence(n, depth)
	case *ast.AnchorNode:
		v := b.node(n.Value, depth+1)
		if n.Name != nil {
			b.anchors[n.Name.GetToken().Value] = v
		}
		return v
	case *ast.AliasNode:
		return b.alias(n)
	case *ast.TagNode:
		return b.tag(n, depth)
	default:
		return b.scalar(n)
	}
}

// startOf is the place of a node, and of a block mapping that of its first key:
// its own token is the first colon, which is no place to send a reader to.
func (b *treeBuilder) startOf(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return b.place(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return b.place(n.Key)
	}
	return b.place(n)
}

func (b *treeBuilder) scalar(n ast.Node) *node {
	v := &node{kind: kindScalar, at: b.place(n), plain: true, size: 1}
	switch n := n.(type) {
	case nil, *ast.NullNode:
		v.kind = kindNull
	case *ast.StringNode:
		v.text, v.plain = n.Value, n.Token.Type == token.StringType
	case *ast.LiteralNode:
		v.text, v.plain = n.Value.Value, false
		v.at = b.place(n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		v.text = n.GetToken().Value
	default:
		v.kind = kindNull
		b.fault(v.at, fmt.Sprintf("a YAML %s cannot stand here", n.Type()))
	}
	return v
}

func (b *treeBuilder) tag(n *ast.TagNode, depth int) *node {
	v := b.node(n.Value, depth+1)
	switch n.Start.Value {
	case "!!str":
		if v.kind == kindScalar {
			c := *v
			c.plain = false
			return &c
		}
	case "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq":
	default:
		b.fault(b.place(n), "tags are not supported: remove it (text that starts with ! needs quotes)")
	}
	return v
}

func (b *treeBuilder) alias(n *ast.AliasNode) *node {
	name := n.Value.GetToken().Value
	v, ok := b.anchors[name]
	if !ok {
		b.fault(b.place(n), "there is no anchor of this name before the alias (text that starts with * needs quotes)")
		return &node{at: b.place(n), size: 1}
	}
	return v
}

// grow adds the size of a child, and cuts the tree where aliases have made it
// larger than any honest file.
func (b *treeBuilder) grow(parent, child *node) bool {
	if parent.size += child.size; parent.size <= nodesMax {
		return true
	}
	if !b.over {
		b.over = true
		b.fault(parent.at, fmt.Sprintf("holds more than %d values once aliases are expanded", nodesMax))
	}
	parent.size = nodesMax
	return false
}

func (b *treeBuilder) sequence(n *ast.SequenceNode, depth int) *node {
	s := &node{kind: kindSequence, at: b.place(n), size: 1}
	for _, value := range n.Values {
		item := b.node(value, depth+1)
		if !b.grow(s, item) {
			break
		}
		s.items = append(s.items, item)
	}
	return s
}

func (b *treeBuilder) mapping(at place, values []*ast.MappingValueNode, depth int) *node {
	m := &node{kind: kindMapping, at: at, size: 1}
	seen := make(map[string]place, len(values))
	var merges []*node
	for _, mv := range values {
		if mv.Key.IsMergeKey() {
			merges = append(merges, b.node(mv.Value, depth+1))
			continue
		}
		key, ok := b.key(mv.Key)
		if !ok {
			continue
		}
		keyAt := b.place(mv.Key)
		value := b.node(mv.Value, depth+1)
		if first, dup := seen[key]; dup {
			b.fault(keyAt, fmt.Sprintf("the key %q is set twice, first on line %d: remove one", key, first.line))
			continue
		}
		seen[key] = keyAt
		if !b.grow(m, value) {
			return m
		}
		m.pairs = append(m.pairs, pair{key: key, at: keyAt, value: value})
	}
	for _, merged := range merges {
		b.merge(m, merged, seen)
	}
	return m
}

// merge adds the pairs of `<<: *anchor` that m does not set itself.
func (b *treeBuilder) merge(m, from *node, seen map[string]place) {
	switch from.kind {
	case kindSequence:
		for _, item := range from.items {
			if item.kind != kindMapping {
				b.fault(item.at, "only sets of keys can be merged with `<<`")
				continue
			}
			b.merge(m, item, seen)
		}
	case kindMapping:
		for _, p := range from.pairs {
			if _, set := seen[p.key]; set {
				continue
			}
			seen[p.key] = p.at
			if !b.grow(m, p.value) {
				return
			}
			m.pairs = append(m.pairs, p)
		}
	default:
		b.fault(from.at, "only sets of keys can be merged with `<<`")
	}
}

func (b *treeBuilder) key(k ast.MapKeyNode) (string, bool) {
	var n ast.Node = k
	if mk, ok := n.(*ast.MappingKeyNode); ok {
		n = mk.Value
	}
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, true
	}
	b.fault(b.place(k), "a key must be plain text")
	return "", false
}
