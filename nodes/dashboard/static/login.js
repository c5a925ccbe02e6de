// A link that carries the token after # logs in by itself; what follows # is never sent.

document.getElementById("again").hidden = !location.search.includes("again");
if (location.hash.length > 1) {
  document.querySelector("[name=token]").value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  document.querySelector("[name=who]").focus();
}
