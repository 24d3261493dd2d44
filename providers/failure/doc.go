// Package failure is the one place where the errors of every provider are made.
//
// What a cloud says in an error may hold the very ports that are to be kept
// secret: EC2 quotes the rule that exists already, ports and all. An error of a
// provider reaches log, status and metrics, so [New] takes ports out of the words
// of whatever caused it, and keeps what a person needs: ids, counts, limits,
// codes, addresses. Words of our own, which name no port, are made by [Ownf] and
// stay as they are.
package failure
