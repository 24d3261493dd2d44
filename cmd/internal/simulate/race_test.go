//go:build race

package simulate

// thin is by what the number of trials is divided: under the race detector each
// takes ten times as long, and what is tested there is not chance.
const thin = 10
