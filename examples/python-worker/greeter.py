import time

from serve_embedded import Request, serve


@serve.deployment(user_config={"greeting": "Hello", "pause_s": 0.2})
class Greeter:
    """All that a class may have."""

    def __init__(self, languages=1):  # what .bind() was given, and the args table of the configuration
        self.languages = languages

    def reconfigure(self, user_config):  # at the start and whenever user_config changes; what it raises refuses the change
        self.greeting = user_config["greeting"]
        self.pause_s = float(user_config["pause_s"])

    def check_health(self):  # every health_check_period_s; what it raises, three times in a row, replaces this process
        if not self.languages:
            raise RuntimeError("no languages are left")

    def __call__(self, request: Request):  # a generator: each piece is sent as soon as it is there
        for word in (self.greeting, ", ", request.query_params.get("name", "world"), "!\n"):
            yield word
            time.sleep(self.pause_s)
