package aws

import (
	"bytes"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// sender gives the transport a body of its own to send. The SDK closes that of
// its request as soon as the answer begins (smithy-go v1.28.8,
// ClientHandler.Handle); a transport that has yet to see the end of it takes
// that for a failure, closes the connection, and the rest of the answer is lost.
type sender struct{ ec2.HTTPClient }

func (s sender) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil {
		return s.HTTPClient.Do(request)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	own := *request
	own.Body = io.NopCloser(bytes.NewReader(body))
	return s.HTTPClient.Do(&own)
}
