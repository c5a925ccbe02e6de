// A link that carries the token after # fills it in; what follows # is never sent.

function take() {
  if (location.hash.length < 2) return;
  document.querySelector("[name=token]").value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector("[name=who]").focus();
}

document.getElementById("again").hidden = !location.search.includes("again");
window.addEventListener("hashchange", take); // the link was opened where this page was already
take();
