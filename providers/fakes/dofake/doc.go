// Package dofake is DigitalOcean's API for Cloud Firewalls in this process: an
// http.Handler that speaks JSON as https://api.digitalocean.com/v2 does, so that
// the real SDK can be driven against it by tests.
//
// It answers everything below /v2/firewalls, the list of a Droplet's firewalls,
// and the lists of Droplets and tags, which hold no more than an id and a name.
// Where DigitalOcean's documentation is silent it refuses more than
// DigitalOcean may:
//
//   - A field that it does not know is refused, and so are the read-only ones.
//   - A rule like one that stands is refused, and so is one for the same
//     protocol, ports and action whose sources overlap. Of both, and of a rule
//     twice in one request, nothing at all is done.
//   - To remove a rule that does not stand is refused, with all that came in the
//     same request. A rule is what it is with all its sources: one of them
//     cannot be removed.
//   - The last rule, inbound or outbound, cannot be removed, as none can be made
//     without one.
//   - "all" for every port is refused, as it was in 2021; "0" is understood.
//   - PUT needs droplet:read and tag:read even where nothing is attached.
//
// And where something is known it does the same: rules have no ids and no marks,
// PUT resets what it does not name, a token that may not read Droplets or tags
// sees none, every rule comes back with an action, rates are 5000 an hour and
// 250 a minute, and a change takes time to reach the Droplets, which
// pending_changes tells.
//
// Facts: https://docs.digitalocean.com/products/networking/firewalls/details/limits/
// and the API's OpenAPI file at commit 7c1300c (both read 2026-11-21).
//
// # Faults
//
// [Fake.Intercept] takes a [Hook] that is called twice for each request, before
// the fake carries it out and after, and that may block, or answer in the fake's
// place: with an [Error], with [Drop], or with any other http.Handler.
// [Fake.Freeze] delays what reads see, Options.Pending what Droplets get.
//
// # The console
//
// [Fake.AddRule], [Fake.EditRule] and [Fake.RemoveRule] are a human at the
// console: no request, so no entry in [Fake.Calls]. A human may also make what
// the API would refuse as an overlap, as other interfaces have.
package dofake
