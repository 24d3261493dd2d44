package rotator

// baitPorts are the TCP ports that scanners try first. Nmap moves exactly these
// to the front of every default scan (portlist.cc, random_port_cheat, Nmap 7.93;
// the order was also seen in recorded scans on 2026-11-21), and most of them
// head the lists of other tools.
var baitPorts = []uint16{
	21, 22, 23, 25, 53, 80, 110, 111, 113, 135, 139, 143, 199, 256,
	443, 445, 554, 587, 993, 995, 1025, 1720, 1723, 3306, 3389, 5900, 8080, 8888,
}
