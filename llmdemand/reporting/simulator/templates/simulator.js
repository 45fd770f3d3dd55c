"use strict";
// The market simulator: two scenarios, the numbers of `llmdemandMarket`, a table, a curve.
(function () {
  var Market = window.llmdemandMarket, POINTS = 41, HEAVY = 100000; // of a curve; rows x tastes x coefficients from which it has half of them

  function node(tag, parent, options, words) {
    var made = document.createElement(tag);
    Object.keys(options || {}).forEach(function (key) {
      if (key in made && key !== "list" && key !== "form") made[key] = options[key]; else made.setAttribute(key, options[key]);
    });
    if (words !== undefined) made.textContent = words;
    if (parent) parent.appendChild(made);
    return made;
  }

  function drawn(tag, parent, options, words) {
    var made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.keys(options || {}).forEach(function (key) { made.setAttribute(key, options[key]); });
    if (words !== undefined) made.textContent = words;
    parent.appendChild(made);
    return made;
  }

  function shown(value, digits) {
    if (value === null || value === undefined || !isFinite(value)) return "-";
    if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
    return String(Number(value.toPrecision(digits || 4)));
  }

  function percent(value) { return (100 * value).toFixed(1) + " %"; }

  function span(found, form) {
    if (!found) return "-";
    return form(found.estimate) + " (" + form(found.lower) + " to " + form(found.upper) + ")";
  }

  function numeric(text) { var value = parseFloat(text); return isFinite(value) ? value : null; }

  function simulator(place, data) {
    var market = new Market(data), id = place.id, level = 100 * data.level;
    var own = data.controls.map(function (c, k) { return k; }).filter(function (k) { return data.controls[k].price; });
    var first = own.filter(function (k) { return data.controls[k].of === data.focal; })[0];
    function fresh() {
      return { edited: "A", A: market.start(), B: market.start(), own: first === undefined ? own[0] : first,
        size: 1000, cost: data.controls.map(function () { return data.cost; }), curve: "share" };
    }
    var state = fresh(), last = {}, timer = 0;

    // ---- Reading and writing the state -------------------------------------------------------
    function written() {
      function list(values) { return values.map(function (v) { return v === null ? "" : v; }).join("_"); }
      return [id + "?A=" + list(state.A), "B=" + list(state.B), "c=" + list(state.cost), "n=" + state.size,
        "own=" + state.own, "y=" + state.curve, "e=" + state.edited].join("&");
    }
    // Mail programs encode what stands in a link; a link that was cut may not be decoded at all.
    function fragment() {
      try { return decodeURIComponent(location.hash); } catch (error) { return location.hash; }
    }
    function restore(hash) {
      var head = "#" + id + "?";
      if (hash.slice(0, head.length) !== head) return false;
      hash.slice(head.length).split("&").forEach(function (part) {
        var cut = part.indexOf("="), key = part.slice(0, cut), text = part.slice(cut + 1);
        var values = text.split("_").map(numeric);
        if ((key === "A" || key === "B") && values.length === data.controls.length) {
          state[key] = values.map(function (v, c) {
            return v === null && data.controls[c].price ? market.start()[c] : market.snapped(c, v);
          });
        }
        if (key === "c" && values.length === data.controls.length) state.cost = values;
        if (key === "n" && values[0] > 0) state.size = values[0];
        if (key === "own" && own.indexOf(values[0]) >= 0) state.own = values[0];
        if (key === "y" && ["share", "volume", "revenue", "profit"].indexOf(text) >= 0) state.curve = text;
        if (key === "e" && (text === "A" || text === "B")) state.edited = text;
      });
      return true;
    }

    // ---- What is on the page ------------------------------------------------------------------
    place.textContent = "";
    var bar = node("div", place, { className: "bar2" });
    var which = node("fieldset", bar, { className: "which" });
    node("legend", which, { className: "vh" }, "Scenario that is changed");
    var radios = ["A", "B"].map(function (name) {
      var label = node("label", which), radio = node("input", label, { type: "radio", name: id + "scenario", value: name });
      label.appendChild(document.createTextNode(" Scenario " + name));
      radio.addEventListener("change", function () { state.edited = name; fill(); later(); });
      return radio;
    });
    function button(words, act) {
      var made = node("button", bar, { type: "button" }, words);
      made.addEventListener("click", act);
      return made;
    }
    button("Copy A to B", function () { state.B = state.A.slice(); state.edited = "B"; fill(); later(); });
    button("Reset", function () { state = fresh(); fill(); later(); });
    button("Copy link", function () {
      history.replaceState(null, "", "#" + written());
      var told = function () { note.textContent = "The link is in the address bar, and copied where the browser allows it."; };
      if (navigator.clipboard && navigator.clipboard.writeText) navigator.clipboard.writeText(location.href).then(told, told); else told();
    });
    button("Export CSV", function () {
      var link = node("a", null, { href: "data:text/csv;charset=utf-8," + encodeURIComponent(csv()), download: "simulator.csv" });
      link.click();
    });
    var note = node("span", bar, { className: "soft", role: "status" });

    var knobs = node("div", place, { className: "knobs" });
    function knob(words, slider, put) {
      var box = node("div", knobs, { className: "knob" });
      node("span", box, {}, words);
      var range = slider && node("input", box, { type: "range", min: slider[0], max: slider[1], step: "any", "aria-label": words + ", slider" });
      var field = node("input", box, { type: "number", step: "any", "aria-label": words });
      var hint = node("span", box, { className: "hint", id: id + "hint" + knobs.children.length });
      if (!range) field.style.gridColumn = "1 / -1";
      [range, field].forEach(function (input) {
        if (!input) return;
        input.setAttribute("aria-describedby", hint.id);
        input.addEventListener("input", function () { put(numeric(input.value), input); });
      });
      return { range: range, field: field, hint: hint };
    }
    var inputs = data.controls.map(function (control, c) {
      var step = (control.reach[1] - control.reach[0]) / 100;
      var places = step ? Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(step)))) : 12;
      var words = control.of === null ? control.name
        : control.price ? "Price of " + control.label + " (" + data.unit + ")" : control.name + " of " + control.label;
      var made = knob(words, control.reach, function (value, source) {
        if (value === null && control.price) return;
        if (control.price && value < 0) value = 0;
        if (source === made.range) value = Number(value.toFixed(places));
        state[state.edited][c] = market.snapped(c, value);
        fill(source); later();
      });
      if (made.range) {
        made.range.addEventListener("keydown", function (event) {
          var by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
          if (!by) return;
          event.preventDefault();
          made.range.value = market.stepped(c, Number(made.range.value), by, step);
          made.range.dispatchEvent(new Event("input"));
        });
      }
      return made;
    });
    var cost = knob("Unit cost", null, function (value) { state.cost[state.own] = value; later(); });
    var size = knob("Market size (choices)", null, function (value) { if (value > 0) { state.size = value; later(); } });
    size.hint.textContent = "volume is share times this number";
    cost.hint.textContent = "without a cost revenue is what is maximised";

    var chosen = node("div", place, { className: "bar2" });
    function menu(words, entries, put) {
      var label = node("label", chosen, {}, words + " "), select = node("select", label);
      entries.forEach(function (entry) { node("option", select, { value: entry[0] }, entry[1]); });
      select.addEventListener("change", function () { put(select.value); fill(); later(); });
      return select;
    }
    var mine = menu("Yours:", own.map(function (k) { return [k, data.controls[k].label]; }), function (v) { state.own = Number(v); });
    var shape = menu("Curve:", ["share", "volume", "revenue", "profit"].map(function (k) { return [k, k]; }), function (v) { state.curve = v; });
    var answer = node("p", place, { className: "answer", "aria-live": "polite" });
    var use = node("button", node("p", place), { type: "button" }, "Use the best price");
    use.addEventListener("click", function () {
      if (last.best && last.best.price !== null) { state[state.edited][state.own] = last.best.price; fill(); later(); }
    });
    var wide = node("div", place, { className: "wide", tabIndex: 0, role: "region", "aria-label": "Scenarios compared" });
    var figure = node("figure", place, { className: "curve" });
    data.notes.forEach(function (text) { node("p", place, { className: "soft" }, text.charAt(0).toUpperCase() + text.slice(1) + "."); });

    function fill(source) {
      var values = state[state.edited];
      radios.forEach(function (radio) { radio.checked = radio.value === state.edited; });
      inputs.forEach(function (input, c) {
        var control = data.controls[c], value = values[c], far = outside(c, value);
        if (input.field !== source) input.field.value = value === null ? "" : Number(value.toPrecision(12));
        if (input.range !== source) input.range.value = value === null ? (control.seen[0] + control.seen[1]) / 2 : value;
        var seen = control.seen[0] === control.seen[1] ? shown(control.seen[0]) + " alone"
          : shown(control.seen[0]) + " to " + shown(control.seen[1]);
        input.hint.textContent = value === null ? "as in the data; observed " + seen
          : (far ? "extrapolation: observed were " : "observed ") + seen;
        input.hint.className = far ? "hint far" : "hint";
      });
      if (cost.field !== source) cost.field.value = state.cost[state.own] === null ? "" : state.cost[state.own];
      if (size.field !== source) size.field.value = state.size;
      mine.value = state.own; shape.value = state.curve;
    }
    function outside(c, value) {
      var seen = data.controls[c].seen;
      return value !== null && (value < seen[0] - 1e-12 || value > seen[1] + 1e-12);
    }
    function later() { clearTimeout(timer); timer = setTimeout(show, 60); }

    // ---- Numbers --------------------------------------------------------------------------------
    function facts(model, x, values) {
      var share = market.sharesAt(x, model)[data.controls[state.own].of], price = values[state.own];
      var c = state.cost[state.own], found = [state.size * share, state.size * share * price];
      return c === null ? found : found.concat([state.size * share * (price - c)]);
    }
    function scaled(band, factor) {
      var ends = [band.lower * factor, band.upper * factor].sort(function (a, b) { return a - b; });
      return { estimate: band.estimate * factor, lower: ends[0], upper: ends[1] };
    }
    function column(values) {
      var shares = market.shareBands(values), mineBand = shares[data.controls[state.own].of], price = values[state.own];
      var c = state.cost[state.own];
      return { shares: shares, volume: scaled(mineBand, state.size), revenue: scaled(mineBand, state.size * price),
        profit: c === null ? null : scaled(mineBand, state.size * (price - c)), elasticity: market.elasticity(state.own, values) };
    }
    function difference() {
      var x = market.regressors(state.A), y = market.regressors(state.B);
      return market.bands(function (model) {
        var from = facts(model, x, state.A);
        return facts(model, y, state.B).map(function (value, k) { return value - from[k]; });
      }, x, false);
    }

    function show() {
      var a = column(state.A), b = column(state.B), change = market.changeBands(state.A, state.B), moved = difference();
      last.columns = [a, b, change, moved];
      var lines = data.labels.map(function (label, j) {
        return ["Share of " + label, span(a.shares[j], percent), span(b.shares[j], percent), span(change[j], percent)];
      });
      var name = data.controls[state.own].label;
      lines.push(["Volume of " + name, span(a.volume, shown), span(b.volume, shown), span(moved[0], shown)]);
      lines.push(["Revenue of " + name, span(a.revenue, shown), span(b.revenue, shown), span(moved[1], shown)]);
      if (a.profit) lines.push(["Profit of " + name, span(a.profit, shown), span(b.profit, shown), span(moved[2], shown)]);
      lines.push(["Elasticity of " + name, span(a.elasticity, two), span(b.elasticity, two), "-"]);
      table(lines);
      last.lines = lines;
      tell(name);
      curve(name);
      place.setAttribute("data-ready", "1");
    }
    function two(value) { return value.toFixed(2); }

    function table(lines) {
      wide.textContent = "";
      var made = node("table", wide), head = node("tr", node("thead", made));
      node("caption", made, {}, "Scenarios, with " + level + " % intervals");
      ["", "A", "B", "B less A"].forEach(function (words) { node("th", head, { scope: "col", className: words ? "num" : "" }, words); });
      var body = node("tbody", made);
      lines.forEach(function (line) {
        var row = node("tr", body);
        line.forEach(function (words, k) { node(k ? "td" : "th", row, k ? { className: "num" } : { scope: "row" }, words); });
      });
    }

    function tell(name) {
      var c = state.cost[state.own], values = state[state.edited], best = market.best(state.own, values, c || 0);
      last.best = best;
      var goal = c === null ? "revenue" : "profit at unit cost " + shown(c);
      if (best.price === null) {
        answer.textContent = "There is no best price of " + name + " in scenario " + state.edited + ": " + best.why + ".";
        use.hidden = true; return;
      }
      use.hidden = false;
      var there = values.slice(); there[state.own] = best.price;
      var k = c === null ? 1 : 2;
      var earned = scaled(market.shareBands(there)[data.controls[state.own].of], state.size * (best.price - (c || 0)));
      var now = facts(market.model, market.regressors(values), values)[k];
      answer.textContent = "Best price of " + name + " for " + goal +
        (data.controls.length > 1 ? ", all else as in scenario " + state.edited : "") + ": " + (best.se === null
        ? shown(best.price) + " (among the steps of the slider)" : span({ estimate: best.price, lower: best.lower, upper: best.upper }, shown)) +
        " " + data.unit + "; it earns " + span(earned, shown) + ", against " + shown(now) + " at " + shown(values[state.own]) +
        " in scenario " + state.edited + "." + (outside(state.own, best.price)
          ? " That price lies outside the observed ones: an extrapolation that rests on the formula alone." : "");
    }

    // ---- The curve ------------------------------------------------------------------------------
    function points() {
      var control = data.controls[state.own], low = control.reach[0], high = control.reach[1], found = [];
      var grid = control.grid, many = market.rows * market.tastes * market.size > HEAVY ? 21 : POINTS;
      if (grid) many = Math.min(many, grid.length);
      for (var k = 0; k < many; k++) {
        var p = grid ? grid[Math.round(k * (grid.length - 1) / (many - 1 || 1))] : low + (high - low) * k / (many - 1);
        var values = state[state.edited].slice();
        values[state.own] = p;
        var band = market.shareBands(values)[control.of], c = state.cost[state.own];
        var factor = { share: 1, volume: state.size, revenue: state.size * p, profit: state.size * (p - (c || 0)) };
        found.push({ price: p, share: band, volume: scaled(band, factor.volume), revenue: scaled(band, factor.revenue),
          profit: c === null ? null : scaled(band, factor.profit) });
      }
      return found;
    }

    function curve(name) {
      var kind = state.curve === "profit" && state.cost[state.own] === null ? "revenue" : state.curve;
      last.points = points();
      last.drawn = function () { draw(name, kind, last.points); };
      last.drawn();
    }

    // As wide as there is room, so that letters keep their size on a phone.
    function draw(name, kind, all) {
      var control = data.controls[state.own], W = Math.max(280, Math.min(700, place.clientWidth - 32)), H = W < 450 ? 260 : 330;
      var L = 56, R = 12, T = 12, B = 46;
      var low = all[0].price, high = all[all.length - 1].price, least = 0, most = kind === "share" ? 1 : 0;
      all.forEach(function (p) { least = Math.min(least, p[kind].lower); most = Math.max(most, p[kind].upper); });
      function X(p) { return L + (W - L - R) * (p - low) / (high - low || 1); }
      function Y(v) { return H - B - (H - B - T) * (v - least) / (most - least || 1); }
      figure.textContent = "";
      var svg = drawn("svg", figure, { viewBox: "0 0 " + W + " " + H, role: "img", "aria-label":
        "Curve of " + kind + " of " + name + " by its price, from " + shown(all[0][kind].estimate) + " at " + shown(low) + " to " +
        shown(all[all.length - 1][kind].estimate) + " at " + shown(high) });
      [[low, control.seen[0]], [control.seen[1], high]].forEach(function (ends) {
        if (ends[1] > ends[0]) drawn("rect", svg, { "class": "far", x: X(ends[0]), y: T, width: X(ends[1]) - X(ends[0]), height: H - B - T });
      });
      ticks(least, most).forEach(function (v) {
        drawn("line", svg, { "class": "grid", x1: L, x2: W - R, y1: Y(v), y2: Y(v) });
        drawn("text", svg, { x: L - 6, y: Y(v) + 4, "text-anchor": "end" }, shown(v, 3));
      });
      ticks(low, high).forEach(function (v) { drawn("text", svg, { x: X(v), y: H - B + 18, "text-anchor": "middle" }, shown(v, 3)); });
      drawn("line", svg, { "class": "axis", x1: L, x2: W - R, y1: H - B, y2: H - B });
      drawn("text", svg, { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, "price of " + name + " (" + data.unit + ")");
      var upper = all.map(function (p) { return X(p.price) + "," + Y(p[kind].upper); });
      var lower = all.map(function (p) { return X(p.price) + "," + Y(p[kind].lower); }).reverse();
      drawn("polygon", svg, { "class": "band", points: upper.concat(lower).join(" ") });
      drawn("polyline", svg, { "class": "line", points: all.map(function (p) { return X(p.price) + "," + Y(p[kind].estimate); }).join(" ") });
      if (last.best && last.best.price !== null && last.best.price >= low && last.best.price <= high) {
        drawn("line", svg, { "class": "best", x1: X(last.best.price), x2: X(last.best.price), y1: T, y2: H - B });
        drawn("text", svg, { x: X(last.best.price) + 4, y: T + 12 }, "best price");
      }
      var same = state.A.join() === state.B.join();
      ["A", "B"].forEach(function (letter, k) {
        var p = state[letter][state.own];
        if (p < low || p > high || (k && same)) return;
        var value = kind === "share" ? last.columns[k].shares[control.of].estimate : last.columns[k][kind].estimate;
        drawn("circle", svg, { "class": letter.toLowerCase(), cx: X(p), cy: Y(value), r: 6 });
        drawn("text", svg, { x: X(p) + 9, y: Y(value) + (k ? 18 : -8) }, same ? "A and B" : letter);
      });
      node("figcaption", figure, {}, kind.charAt(0).toUpperCase() + kind.slice(1) + " of " + name + " by its price, other values as in scenario " +
        state.edited + ", with " + level + " % band; shaded: prices that were not observed, where the formula alone speaks.");
    }

    function ticks(low, high) {
      var raw = (high - low) / 5 || 1, power = Math.pow(10, Math.floor(Math.log10(raw)));
      var step = [1, 2, 5, 10].map(function (k) { return k * power; }).filter(function (s) { return s >= raw; })[0], found = [];
      for (var v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(Math.abs(v) < step * 1e-9 ? 0 : v);
      return found;
    }

    function csv() {
      function cell(text) {
        text = String(text);
        if (/^[=+@\-]/.test(text) && !isFinite(Number(text))) text = "'" + text;
        return /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
      }
      var rows = [["quantity", "A", "A lower", "A upper", "B", "B lower", "B upper"]], columns = last.columns.slice(0, 2);
      function add(words, bands) {
        rows.push([words].concat.apply([words], bands.map(function (b) { return b ? [b.estimate, b.lower, b.upper] : ["", "", ""]; })));
      }
      data.controls.forEach(function (control, c) {
        rows.push([control.name + (control.of === null ? "" : " of " + control.label), state.A[c] === null ? "as in the data" : state.A[c], "", "",
          state.B[c] === null ? "as in the data" : state.B[c], "", ""]);
      });
      var name = data.controls[state.own].label, price = state.cost[state.own];
      rows.push(["unit cost of " + name, price === null ? "" : price, "", "", price === null ? "" : price, "", ""]);
      rows.push(["market size", state.size, "", "", state.size, "", ""]);
      data.labels.forEach(function (label, j) { add("share of " + label, columns.map(function (c) { return c.shares[j]; })); });
      ["volume", "revenue", "profit", "elasticity"].forEach(function (kind) {
        add(kind + " of " + name, columns.map(function (c) { return c[kind]; }));
      });
      rows.push([], ["price of " + name, "share", "lower", "upper"]);
      last.points.forEach(function (p) { rows.push([p.price, p.share.estimate, p.share.lower, p.share.upper]); });
      return rows.map(function (row) { return row.map(cell).join(","); }).join("\r\n") + "\r\n";
    }

    var width = place.clientWidth;
    function sized() {
      if (last.drawn && place.clientWidth !== width) { width = place.clientWidth; last.drawn(); }
    }
    window.addEventListener("resize", sized);
    // Within a folded part there is no width until it is opened.
    if (window.ResizeObserver) new ResizeObserver(sized).observe(place);
    if (restore(fragment())) place.scrollIntoView();
    window.addEventListener("hashchange", function () { if (restore(fragment())) { fill(); show(); } });
    fill();
    show();
    place.simulator = { market: market, state: function () { return state; }, written: written, csv: csv, last: last };
  }

  document.querySelectorAll(".market").forEach(function (place) {
    var data = document.querySelector('script.market-data[data-for="' + place.id + '"]');
    if (data) simulator(place, JSON.parse(data.textContent));
  });
})();
