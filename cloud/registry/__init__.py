"""Who and what there is: streets 街道, communities 社区, grids 网格, sites, gateways, devices, people, their tokens."""
