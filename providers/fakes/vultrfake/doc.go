// Package vultrfake is the firewall part of the Vultr API, version 2, that runs
// in this process: a real HTTP server that speaks its JSON, so that the real SDK
// can be driven against it.
//
// It answers the five calls on one firewall group and its rules; [GetGroup] and
// the other actions name them as Vultr's OpenAPI file does. Where it differs
// from Vultr it refuses more:
//
//   - A body with a field that the API does not know is refused.
//   - A protocol must be lower case (the documentation prints upper case;
//     vultr/terraform-provider-vultr#83 shows what comes of it).
//   - A rule whose subnet has bits beyond its size equals the rule without them.
//   - A page must hold 1 to 500 items, and its cursor must be one that was given.
//
// And where it does less:
//
//   - It makes no groups by request, and attaches none to an instance: each is
//     attached to one.
//   - Every id of the form of one is that of a load balancer.
//
// A plain rule is answered with its own prefix as the source, which Vultr does
// since spring 2026 (vultr/terraform-provider-vultr#722), although the OpenAPI
// file knows an empty source only; [Options] has the documented form too.
//
// Messages are Vultr's own where one was seen in public, which is quoted beside
// it; the others are made up, and no caller should know them. Whether Vultr
// gives the number of a removed rule to a new one is not known, hence
// [Options.ReuseNumbers].
//
// # Faults
//
// [Fake.Intercept] takes a [Hook] that is asked about each request, before the
// fake carries it out and after, and that may block, or answer in the fake's
// place: with an [Error], with [Drop], which closes the connection, or with any
// other http.Handler. A lost reply is a Drop after:
//
//	fake.Intercept(vultrfake.First(1, vultrfake.After, vultrfake.CreateRule, vultrfake.Drop))
//
// [Fake.Freeze] and [Fake.FreezeFor] delay what lists show.
//
// # The console
//
// [Fake.AddRule] and [Fake.RemoveRule] are a human at the console: the same
// checks, but no request, so no entry in [Fake.Calls]. Rules cannot be edited,
// neither there nor by request.
package vultrfake
