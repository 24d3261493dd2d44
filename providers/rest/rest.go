// Package rest is what the providers share whose clouds are reached over HTTP with
// a token: finding the token and the address of the API, signing requests, pacing
// them, and giving each a time within which it is over.
//
// A client of this package sends each request once and follows no redirect, so the
// token goes nowhere else.
package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/providers/failure"
)

// CallTimeout is how long a call may take: finding the address, connecting,
// sending, and reading the answer.
const CallTimeout = 20 * time.Second

// Cloud is what is particular about a cloud.
type Cloud struct {
	Name             string // of the provider, which every error begins with
	Endpoint         string // of the API
	EndpointVariable string // environment variable with another endpoint
	Token            string // what the cloud calls it, such as "API key"
	TokenVariables   []string
	Letters          *regexp.Regexp // of a whole token
	HintToken        string         // where to get one and where to put it

	// Pace is that of all firewalls of this process together, where nobody asks
	// for another.
	Pace *rate.Limiter
}

// Options says how the API is reached. Each may be left out.
type Options struct {
	Token     string            // a secret
	Endpoint  string            // of the API, where it is not the cloud's own
	Transport http.RoundTripper // http.DefaultTransport if nil
	Pace      *rate.Limiter     // of requests; if nil, that of the cloud
}

// Environment returns o with the token and the endpoint of the environment where
// o has none. Each variable of a token is looked for in turn, also with _FILE
// behind its name. An environment that cannot be read is [portsnare.Invalid], one
// without a token is [portsnare.Denied].
func (c Cloud) Environment(o Options) (Options, error) {
	o.Endpoint = cmp.Or(o.Endpoint, os.Getenv(c.EndpointVariable))
	if o.Token == "" {
		token, err := c.findToken()
		if err != nil {
			return o, err
		}
		o.Token = token
	}
	return o, nil
}

func (c Cloud) findToken() (string, error) {
	op := "find the " + c.Token
	for _, name := range c.TokenVariables {
		token, file := os.Getenv(name), os.Getenv(name+"_FILE")
		switch {
		case token != "" && file != "":
			return "", c.invalid(op, "", fmt.Errorf("both %s and %[1]s_FILE are set", name), "unset one of the two")
		case token != "":
			return token, nil
		case file == "":
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", c.invalid(op, "", failure.Local(err), "set "+name+"_FILE to the name of a file that holds the "+c.Token)
		}
		if token = strings.TrimSpace(string(text)); token != "" {
			return token, nil
		}
	}
	return "", failure.New(portsnare.Denied, c.Name+": "+op, "", errors.New("none is given"), c.HintToken)
}

// Client reaches the API of one cloud.
type Client struct {
	HTTP     *http.Client
	Endpoint *url.URL // with the path /
	Timeout  time.Duration

	pace *rate.Limiter
}

// NewClient returns a client. It sends nothing. Options that cannot be are
// [portsnare.Invalid].
func (c Cloud) NewClient(o Options) (*Client, error) {
	if !c.Letters.MatchString(o.Token) {
		return nil, c.invalid("use the "+c.Token, "", errors.New("it is empty or holds characters that none has"), c.HintToken)
	}
	endpoint, err := c.parseEndpoint(cmp.Or(o.Endpoint, c.Endpoint))
	if err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Pace == nil {
		o.Pace = c.Pace
	}
	return &Client{
		HTTP:     &http.Client{Transport: signer{o.Transport, o.Token}, CheckRedirect: noRedirect},
		Endpoint: endpoint,
		Timeout:  CallTimeout,
		pace:     o.Pace,
	}, nil
}

// parseEndpoint takes an address with or without the /v2 that each path of an API
// begins with.
func (c Cloud) parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err == nil {
		path := strings.TrimSuffix(u.Path, "/")
		if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || path != "" && path != "/v2" || u.User != nil || u.RawQuery != "" {
			err = errors.New("want an address such as " + c.Endpoint)
		}
	}
	if err != nil {
		return nil, c.invalid("use the endpoint", text, failure.Local(err), "correct "+c.EndpointVariable+", or unset it")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, nil
}

func (c Cloud) invalid(op, subject string, err error, hint string) error {
	return failure.New(portsnare.Invalid, c.Name+": "+op, subject, err, hint)
}

// Wait returns when n more requests may be sent, or an error of the context.
func (c *Client) Wait(ctx context.Context, n int) error {
	for range n {
		if err := c.pace.Wait(ctx); err != nil {
			return cmp.Or(context.Cause(ctx), context.DeadlineExceeded)
		}
	}
	return nil
}

// signer signs requests with the token.
type signer struct {
	next  http.RoundTripper
	token string
}

func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+s.token)
	return s.next.RoundTrip(r)
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
