//go:build !race

package placement

const thin = 1
