"""From a bundle's graph to a file for one kind of device, by the vendor's own tool."""
