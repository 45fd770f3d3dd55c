"use strict";
// Without this script the answers are a plain list; with it they can be filtered and asked.
(function () {
  var TEN = 10; // cards that are shown at first, and with each "more"

  function text(tag, content, parent, name) {
    var node = document.createElement(tag);
    node.textContent = content;
    if (name) node.className = name;
    parent.appendChild(node);
    return node;
  }

  function shown(token) {
    return JSON.stringify(token).slice(1, -1).replace(/\\"/g, '"').replace(/ /g, "\u2423");
  }

  function filters(form, items, none, more) {
    var output = form.querySelector("output"), search = form.querySelector("input[type=search]"), room = TEN;
    function apply() {
      var count = 0, words = search.value.trim().toLowerCase();
      items.forEach(function (item) {
        var fits = Array.prototype.every.call(form.querySelectorAll("select"), function (select) {
          return !select.value || item.dataset[select.name] === select.value;
        }) && (!words || item.querySelector(".said").textContent.toLowerCase().indexOf(words) >= 0);
        count += fits ? 1 : 0;
        item.hidden = !fits || count > room;
      });
      none.hidden = count > 0;
      more.hidden = count <= room;
      output.textContent = Math.min(count, room) + " of " + count + " answers shown" +
        (count < items.length ? ", which fit the filters" : "");
    }
    function anew() { room = TEN; apply(); }
    more.addEventListener("click", function () {
      var shown = items.filter(function (item) { return !item.hidden; });
      room += TEN;
      apply();
      var next = items.filter(function (item) { return !item.hidden && shown.indexOf(item) < 0; })[0];
      if (next) { next.tabIndex = -1; next.focus(); }
    });
    form.addEventListener("change", anew);
    search.addEventListener("input", anew);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    form.addEventListener("reset", function () { setTimeout(anew, 0); });
    form.hidden = false;
    apply();
  }

  function explain(item, token, known) {
    var detail = item.querySelector(".detail");
    detail.textContent = "";
    var place = Number(token.dataset.t);
    text("p", "Token " + (place + 1) + ", " + shown(known[0]) + ": probability " +
      (known[1] === null ? "unknown" : known[1].toFixed(3)) + ". " +
      (known[2].length ? "Most probable candidates there:" : "No candidates are listed there."), detail, "soft");
    var list = text("ul", "", detail, "chips");
    known[2].forEach(function (candidate) {
      var line = text("li", "", list);
      text("code", shown(candidate[0]), line);
      text("span", " " + candidate[1].toFixed(3), line);
    });
    detail.hidden = false;
  }

  function tokens(item, known) {
    var all = Array.prototype.slice.call(item.querySelectorAll(".said .t"));
    if (!all.length) return;
    var group = item.querySelector(".said"), first = item.querySelector("mark.t") || all[0];
    group.setAttribute("role", "toolbar");
    group.setAttribute("aria-label", group.getAttribute("aria-label") +
      ", token by token: arrow keys move, Enter shows the candidates");
    function choose(token) {
      all.forEach(function (other) { other.setAttribute("aria-pressed", String(other === token)); });
      explain(item, token, known[Number(token.dataset.t)]);
    }
    all.forEach(function (token, place) {
      token.setAttribute("role", "button");
      token.setAttribute("aria-pressed", "false");
      token.tabIndex = token === first ? 0 : -1;
      token.addEventListener("click", function () { move(place); choose(token); });
      token.addEventListener("keydown", function (event) {
        var to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }[event.key];
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(token); }
        if (to !== undefined && all[to]) { event.preventDefault(); move(to); all[to].focus(); }
      });
    });
    function move(to) { all.forEach(function (other, place) { other.tabIndex = place === to ? 0 : -1; }); }
  }

  document.querySelectorAll("form.filters").forEach(function (form) {
    var id = form.dataset.for, list = document.getElementById(id);
    var items = Array.prototype.slice.call(list.children);
    filters(form, items, document.querySelector('.none[data-for="' + id + '"]'),
      document.querySelector('button.more[data-for="' + id + '"]'));
    var known = JSON.parse(document.querySelector('.tokens[data-for="' + id + '"]').textContent);
    items.forEach(function (item) {
      var its = known[Number(item.dataset.place)];
      if (its) tokens(item, its);
    });
  });
})();
