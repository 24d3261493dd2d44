package kernel

// MaxBans is how many sources the kernel can shut out at once.
const MaxBans = 65536 // per family
