package digitalocean

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/portsnare/portsnare"
)

// tokenVariables are where a token is looked for, in this order, each also with
// _FILE behind it. The first is that of DigitalOcean's Terraform provider, the
// second that of doctl.
var tokenVariables = []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"}

// Open is [New] with the token and the address of the environment where o has
// none. An environment that cannot be is [portsnare.Invalid], one without a
// token is [portsnare.Denied].
func Open(o Options) (*Firewall, error) {
	if o.Endpoint == "" {
		o.Endpoint = os.Getenv("DIGITALOCEAN_API_URL")
	}
	if o.Token == "" {
		token, err := tokenOfEnvironment()
		if err != nil {
			return nil, err
		}
		o.Token = token
	}
	return New(o)
}

func tokenOfEnvironment() (string, error) {
	const op = "find the token"
	for _, name := range tokenVariables {
		token, file := os.Getenv(name), os.Getenv(name+"_FILE")
		switch {
		case token != "" && file != "":
			return "", invalid(op, "", fmt.Errorf("both %s and %[1]s_FILE are set", name), "unset one of the two")
		case token != "":
			return token, nil
		case file == "":
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return "", invalid(op, "", err, "set "+name+"_FILE to the name of a file that holds the token")
		}
		return strings.TrimSpace(string(text)), nil
	}
	return "", &portsnare.Error{Kind: portsnare.Denied, Op: "digitalocean: " + op, Err: errors.New("none is given"), Hint: hintToken}
}
