"""Books or rulebooks too much for one process: shards by account, over processes or the machines of a Ray cluster."""

from crossmargin.cluster.processes import assess_shards
from crossmargin.cluster.ray_shards import Cluster, Tick, open_cluster
from crossmargin.cluster.shards import Source, shards_of

__all__ = ["Cluster", "Source", "Tick", "assess_shards", "open_cluster", "shards_of"]
