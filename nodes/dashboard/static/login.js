document.getElementById("again").hidden = !location.search.includes("again");
