"""For the tests of those who build on nexus-actors, and our own.

- `contracts`: what our abstract classes promise, as tests to inherit
- `sandbox`: the vendors as a pytest fixture
- `worker`: a worker on a private Redis, against the sandbox, as a pytest fixture
- `kill_matrix`: kills a flow at each of its requests; did everything happen once?
- `reply_proxy`: loses replies of a server that has done the work
- `secrets`: looks for secrets where none may be
"""
