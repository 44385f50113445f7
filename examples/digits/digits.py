import json

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from serve_embedded import JSONResponse, Request, serve

PIXELS = 8 * 8
BLACK = 16  # pixels go from 0 to this


@serve.deployment(num_replicas=2, max_ongoing_requests=4, max_queued_requests=20, user_config={"threshold": 0.5})
class Digits:
    def __init__(self):
        images, labels = load_digits(return_X_y=True)
        train, test, train_labels, test_labels = train_test_split(images / BLACK, labels, test_size=0.25, random_state=0)
        self.model = LogisticRegression(max_iter=1000).fit(train, train_labels)
        print(f"trained with {len(train)} digits; of {len(test)} others {self.model.score(test, test_labels):.1%} are recognised")

    def reconfigure(self, user_config):
        threshold = user_config["threshold"]
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a number from 0 to 1, and is {threshold!r}")
        self.threshold = threshold

    def check_health(self):
        self.model.predict([[0] * PIXELS])

    def __call__(self, request: Request):
        if request.url.path != "/predict":
            return JSONResponse({"error": "There is only /predict."}, status_code=404)
        if request.method != "POST":
            return JSONResponse({"error": "POST an image to it."}, status_code=405, headers={"Allow": "POST"})
        try:
            pixels = [float(pixel) for pixel in request.json()["pixels"]]
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            pixels = []
        if len(pixels) != PIXELS or not all(0 <= pixel <= BLACK for pixel in pixels):
            return JSONResponse({"error": f'The body must be {{"pixels": [...]}}, with {PIXELS} numbers from 0 to {BLACK}.'}, status_code=400)

        probabilities = self.model.predict_proba([[pixel / BLACK for pixel in pixels]])[0]
        digit = int(probabilities.argmax())
        return {
            "digit": digit if probabilities[digit] >= self.threshold else "unsure",
            "probabilities": [round(float(probability), 2) for probability in probabilities],
        }
