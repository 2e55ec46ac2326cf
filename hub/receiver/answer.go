package receiver

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal, in the words of Log Service.
type Error struct {
	// Status is the HTTP status, Code the error code, Message for people.
	Status        int
	Code, Message string
	// RetryAfter is how long the client should wait; 0 says nothing about it.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func bad(code, format string, args ...any) *Error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

// busy asks the client to come again.
func busy(after time.Duration, message string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "ServerBusy", Message: message, RetryAfter: after}
}

// Stamp sets the headers that every answer to a Log Service client has, and
// returns the request's id.
func Stamp(w http.ResponseWriter) string {
	id := strings.ToUpper(rand.Text())[:24]
	h := w.Header()
	h.Set("x-log-requestid", id)
	h.Set("x-log-time", strconv.FormatInt(time.Now().Unix(), 10))
	h.Set("Server", "wasmtail-hub")
	return id
}

// Refuse answers with an error. Stamp has been called.
func Refuse(w http.ResponseWriter, e *Error) {
	body, err := json.Marshal(map[string]string{"errorCode": e.Code, "errorMessage": e.Message})
	if err != nil {
		body = []byte(`{"errorCode":"InternalServerError","errorMessage":""}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(max(e.RetryAfter.Round(time.Second), time.Second)/time.Second)))
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(body)
}
