package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wasmtail/wasmtail/internal/config"
	"github.com/wasmtail/wasmtail/internal/signature"
	"github.com/wasmtail/wasmtail/plugins/output/logservice"
)

// hubAccess is where the hub is and how to sign requests to it.
type hubAccess struct {
	endpoint, region, project string
	keyID, keySecret          string
	configPath                string
}

// flags adds the flags that every command against the hub has.
func (h *hubAccess) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&h.configPath, "config", "c", os.Getenv("WASMTAIL_CONFIG"), "take hub, project and key from the first logservice output of this configuration `FILE`")
	f.StringVar(&h.endpoint, "hub", envOr("WASMTAIL_HUB", "http://127.0.0.1:7070"), "`URL` of the hub; also $WASMTAIL_HUB")
	f.StringVar(&h.region, "region", "local", "region the signature is for")
	f.StringVar(&h.project, "project", "", "project to look into; the hub's default if not set")
	f.StringVar(&h.keyID, "key-id", os.Getenv("WASMTAIL_KEY_ID"), "access key id; also $WASMTAIL_KEY_ID")
}

func envOr(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

// resolve fills in what flags and environment left open from the configuration.
func (h *hubAccess) resolve(cmd *cobra.Command) error {
	h.keySecret = os.Getenv("WASMTAIL_KEY_SECRET")
	if h.configPath != "" {
		file, err := loadConfig(h.configPath)
		if err != nil {
			return err
		}
		out := firstLogservice(file)
		if out == nil {
			return &exitError{exitUsage, fmt.Errorf("cannot find a logservice output in %s", h.configPath)}
		}
		h.keyID, h.keySecret = out.AccessKeyID, out.AccessKeySecret.Reveal()
		if !cmd.Flags().Changed("hub") {
			h.endpoint, h.region = out.Endpoint, out.Region
		}
		if h.project == "" {
			h.project = out.Project
		}
	}
	if h.keyID == "" || h.keySecret == "" {
		return &exitError{exitUsage, errors.New("no access key: give -c FILE, or set WASMTAIL_KEY_ID and WASMTAIL_KEY_SECRET")}
	}
	return nil
}

func firstLogservice(file *config.File) *logservice.Config {
	for _, block := range file.Outputs {
		if c, ok := block.Config.(*logservice.Config); ok {
			return c
		}
	}
	return nil
}

// get asks the hub and returns the body of a 200 answer, for the caller to close.
func (h *hubAccess) get(ctx context.Context, path string, params url.Values) (io.ReadCloser, error) {
	if h.project != "" {
		params.Set("project", h.project)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(h.endpoint, "/")+path+"?"+params.Encode(), http.NoBody)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("cannot use the hub's URL: %w", err)}
	}
	err = signature.Sign(req, nil, signature.Credentials{KeyID: h.keyID, Secret: h.keySecret},
		signature.Options{Version: signature.V4, Region: h.region, Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("cannot sign a request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &exitError{exitUnavailable, fmt.Errorf("cannot reach the hub at %s: %w; is wasmtail-hub running there?", h.endpoint, err)}
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, hubRefusal(resp)
}

func hubRefusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var answer struct {
		Error        struct{ Code, Message string }
		ErrorCode    string `json:"errorCode"`
		ErrorMessage string `json:"errorMessage"`
	}
	_ = json.Unmarshal(body, &answer)
	code, message := answer.Error.Code+answer.ErrorCode, answer.Error.Message+answer.ErrorMessage
	if code == "" {
		code, message = resp.Status, strings.TrimSpace(string(body))
	}
	exit := exitInternal
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		exit = exitPermission
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
		exit = exitTryLater
	case resp.StatusCode < http.StatusInternalServerError:
		exit = exitUsage
	}
	return &exitError{exit, fmt.Errorf("the hub refuses: %s: %s", code, message)}
}
