package ec2fake_test

import (
	"bytes"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// ownBody gives the transport a body of its own to send, as providers/aws does:
// the SDK closes that of its request as soon as the answer begins, and a
// transport that still reads it then drops the connection.
type ownBody struct{ ec2.HTTPClient }

func (c ownBody) Do(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	own := *request
	own.Body = io.NopCloser(bytes.NewReader(body))
	return c.HTTPClient.Do(&own)
}
