import time

from serve_embedded import Request, serve


@serve.deployment(max_ongoing_requests=2, max_queued_requests=2)
class SlowDeployment:
    def __call__(self, request: Request) -> str:
        time.sleep(2)
        return "Hello!"


app = SlowDeployment.bind()
