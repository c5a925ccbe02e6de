"""The web page of a deployment: what is going on, what happened, and answering back."""
