//go:build !race

package simulate

const thin = 1
