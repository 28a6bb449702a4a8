"""The models in a Ray Serve cluster: the same Job in and the same Answer out as of the worker process.

joining.py   how Ray is imported and joined: late, with its telemetry off and its secret in place
node.py      the Ray processes of this machine: `rapbot cluster up` and `down`
replica.py   what runs in each replica
deploying.py what is deployed: how many replicas, with what; its state
client.py    the bot's side: batches out, answers and progress back, lost jobs once more
"""
