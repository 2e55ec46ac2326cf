package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wasmtail/wasmtail/agent/dispatch"
	"github.com/wasmtail/wasmtail/agent/transport"
)

// flight is records that were given to the client. What has been sent to a broker
// cannot be taken back: it may be written. So an attempt that ends before its outcome
// is known leaves its flight, and the next one of the same records waits for that,
// where it would else produce them twice.
type flight struct {
	errs []error // of each record, when done is closed
	left atomic.Int64
	done chan struct{}
	free context.CancelFunc // of what the records' time is kept with
}

// ends counts a record whose outcome is known.
func (f *flight) ends() {
	if f.left.Add(-1) == 0 {
		f.free()
		close(f.done)
	}
}

// flightsMax bounds the flights that are kept. Of those beyond it, the records may be
// produced twice.
const flightsMax = 256

// grace is how long an attempt waits after its time for the client to say so.
const grace = time.Second

// post produces the records of p; see dispatch.Options.
func (o *Output) post(ctx context.Context, p *dispatch.Payload) (v dispatch.Verdict, err error) {
	key := maphash.Bytes(o.seed, p.Body)
	f := o.landing(key)
	if f == nil {
		if f, err = o.start(p); err != nil {
			return v, &transport.Failure{Err: err}
		}
	}
	timer := time.NewTimer(o.config.Timeout + grace)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		o.keep(key, f)
		return v, o.explain(errors.New("the brokers have not said what became of records that were sent; their answer is waited for"))
	case <-ctx.Done():
		o.keep(key, f)
		return v, &transport.Failure{Err: context.Cause(ctx)}
	}
	return o.judge(ctx, p, f.errs)
}

// landing takes the flight of records that an earlier attempt has left, nil if there
// is none.
func (o *Output) landing(key uint64) *flight {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.flights[key]
	delete(o.flights, key)
	return f
}

func (o *Output) keep(key uint64, f *flight) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for other := range o.flights {
		if len(o.flights) < flightsMax {
			break
		}
		delete(o.flights, other)
	}
	o.flights[key] = f
}

// start gives the records of p to the client.
func (o *Output) start(p *dispatch.Payload) (*flight, error) {
	client, err := o.connected()
	if err != nil {
		return nil, err
	}
	records, err := recordsOf(p)
	if err != nil {
		return nil, &transport.Failure{Class: transport.Rejected, Err: err}
	}
	return o.launch(client, records), nil
}

// launch gives records to the client. They outlive the attempt, and so does the time
// that is left for them.
func (o *Output) launch(client *kgo.Client, records []kgo.Record) *flight {
	f := &flight{errs: make([]error, len(records)), done: make(chan struct{})}
	f.left.Store(int64(len(records)) + 1) // one is this function
	defer f.ends()
	var ctx context.Context
	ctx, f.free = context.WithTimeout(context.Background(), o.config.Timeout)
	for i := range records {
		client.Produce(ctx, &records[i], func(_ *kgo.Record, err error) {
			f.errs[i] = err
			f.ends()
		})
	}
	return f
}

// recordsOf are the records of p in memory of their own: the client may hold them
// longer than p is lent.
func recordsOf(p *dispatch.Payload) ([]kgo.Record, error) {
	body, err := p.Raw()
	if err != nil {
		return nil, err
	}
	if p.Codec == dispatch.None {
		body = bytes.Clone(body)
	}
	records := make([]kgo.Record, 0, p.Records)
	for len(body) > 0 {
		m, rest, err := parse(body)
		if err != nil {
			return nil, err
		}
		records = append(records, kgo.Record{Topic: p.Target, Key: m.key, Value: m.value, Timestamp: m.at})
		body = rest
	}
	return records, nil
}

// judge makes a verdict of what became of each record.
func (o *Output) judge(ctx context.Context, p *dispatch.Payload, errs []error) (v dispatch.Verdict, err error) {
	var alone []int // a batch was refused that has them: which of them is to blame?
	for i, err := range errs {
		switch {
		case err == nil:
		case isAboutRecords(err):
			alone = append(alone, i)
		default:
			v.Again = append(v.Again, i)
			if f := o.explain(err); v.Why == nil || f.Class != transport.Retry {
				v.Why = f
			}
		}
	}
	if len(alone) == 0 {
		return v, nil
	}
	records, err := recordsOf(p)
	if err != nil {
		return v, &transport.Failure{Class: transport.Rejected, Err: err}
	}
	for _, i := range alone {
		err := o.single(ctx, &records[i])
		switch {
		case err == nil:
		case isAboutRecords(err):
			v.Refused = append(v.Refused, dispatch.Refusal{Index: i, Reason: transport.Clean(err.Error(), 300)})
		default:
			v.Again = append(v.Again, i)
			v.Why = o.explain(err)
		}
	}
	return v, nil
}

// single produces a record in a batch of its own.
func (o *Output) single(ctx context.Context, r *kgo.Record) error {
	client, err := o.connected()
	if err != nil {
		return err
	}
	f := o.launch(client, []kgo.Record{*r})
	ctx, cancel := context.WithTimeout(ctx, o.config.Timeout+grace)
	defer cancel()
	select {
	case <-f.done:
		return f.errs[0]
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isAboutRecords is true for what no retry can heal.
func isAboutRecords(err error) bool {
	for _, about := range []error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidTimestamp, kerr.InvalidRecord} {
		if errors.Is(err, about) {
			return true
		}
	}
	return false
}

// explain makes a failure of what the client says. It says of a time that has run out
// only that; why it did, it has told its logger.
func (o *Output) explain(err error) *transport.Failure {
	why := err
	if cause := o.trouble.last(o.config.Timeout + grace); cause != nil && !errors.Is(err, cause) {
		why = fmt.Errorf("%w: %w", err, cause)
	}
	f := &transport.Failure{Err: why}
	for _, x := range []struct {
		class  transport.Class
		advice string
		errs   []error
	}{
		{transport.Auth, "; check sasl, and that it may write to the topic", []error{
			errPassword, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		}},
		{transport.Misconfigured, "; create the topic, or check topic and create_topics", []error{
			kerr.UnknownTopicOrPartition, kerr.InvalidTopicException, kerr.PolicyViolation,
		}},
	} {
		for _, is := range x.errs {
			if errors.Is(why, is) {
				f.Class, f.Advice = x.class, x.advice
				return f
			}
		}
	}
	return f
}

// trouble is a logger and a hook of the client that keeps the last error it is told of. Safe for
// concurrent use.
type trouble struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

// Level implements kgo.Logger.
func (*trouble) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log implements kgo.Logger.
func (t *trouble) Log(_ kgo.LogLevel, _ string, pairs ...any) {
	for i := 1; i < len(pairs); i += 2 {
		err, ok := pairs[i].(error)
		if ok && err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.note(err)
		}
	}
}

// errPassword is what a broker means that does not say it.
var errPassword = errors.New("the broker ended the connection when it was shown the password")

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (t *trouble) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if err := e.Err(); err != nil && key == kmsg.SASLAuthenticate.Int16() {
		t.note(fmt.Errorf("%w: %w", errPassword, err))
	}
}

func (t *trouble) note(err error) {
	t.mu.Lock()
	t.err, t.at = err, time.Now()
	t.mu.Unlock()
}

// last is the error, if it is not older than that.
func (t *trouble) last(age time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.at) > age {
		return nil
	}
	return t.err
}
