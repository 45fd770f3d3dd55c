"use strict";
// A fitted demand in a page: shares, their derivatives by the coefficients, bands, best prices.
//
// Utilities are v = x' beta_d at D tastes; x moves with controls. Shares are those of a logit, or of
// a tree of nests, averaged over tastes and cases. Derivatives are five-point differences along the
// derivatives of the tastes: exact to about eleven digits.
(function (root) {
  var TINY = 3e-3; // how far utilities move in a difference
  var GRID = 161, REACH = 4; // of the search for a best price

  function Market(data) {
    this.data = data;
    this.rows = data.labelled.length;
    this.width = data.x.length ? data.x[0].length : 0;
    this.tastes = data.beta.length;
    this.size = data.cov.length;
    this.cases = data.start.map(function (first, i) {
      return [first, i + 1 < data.start.length ? data.start[i + 1] : data.labelled.length];
    });
    this.total = data.weight.reduce(function (a, b) { return a + b; }, 0);
    this.x = flat(data.x);
    this.model = { beta: flat(data.beta), pi: data.pi || null, lambda: data.tree ? data.tree.lambda : null };
    this.directions = this.size ? directions(this) : [];
  }

  function flat(table) {
    var width = table.length ? table[0].length : 0, found = new Float64Array(table.length * width);
    table.forEach(function (row, i) { found.set(row, i * width); });
    return found;
  }

  // Derivatives of tastes, weights of tastes and dissimilarities, by coefficient.
  function directions(market) {
    var data = market.data, found = [], p;
    for (p = 0; p < market.size; p++) found.push({ beta: [], pi: null, lambda: [] });
    data.jacobian.forEach(function (entry) { found[entry[0]].beta.push([entry[1], entry[2]]); });
    (data.pis || []).forEach(function (entry) { found[entry[0]].pi = entry[1]; });
    if (data.tree) {
      data.tree.slots.forEach(function (slot, nest) { if (slot >= 0) found[slot].lambda.push(nest); });
    }
    return found;
  }

  // The model a step away along coefficient p.
  function stepped(market, p, h) {
    var way = market.directions[p], from = market.model, width = market.width;
    var found = { beta: from.beta, pi: from.pi, lambda: from.lambda };
    if (way.beta.length) {
      found.beta = from.beta.slice();
      way.beta.forEach(function (entry) {
        for (var d = 0; d < market.tastes; d++) found.beta[d * width + entry[0]] += h * entry[1][d];
      });
    }
    if (way.pi) {
      found.pi = from.pi.map(function (row, d) {
        return row.map(function (value, i) { return value + h * way.pi[d][i]; });
      });
    }
    if (way.lambda.length) {
      found.lambda = from.lambda.slice();
      way.lambda.forEach(function (nest) { found.lambda[nest] += h; });
    }
    return found;
  }

  Market.prototype.snapped = function (c, value) {
    var grid = this.data.controls[c].grid, best = 0;
    if (!grid || value === null) return value;
    for (var k = 1; k < grid.length; k++) {
      if (Math.abs(grid[k] - value) < Math.abs(grid[best] - value)) best = k;
    }
    return grid[best];
  };

  // The value some steps on: of a control that has a grid, the next ones of it.
  Market.prototype.stepped = function (c, value, by, step) {
    var grid = this.data.controls[c].grid;
    if (!grid) return value + by * step;
    return grid[Math.min(grid.length - 1, Math.max(0, grid.indexOf(this.snapped(c, value)) + by))];
  };

  Market.prototype.start = function () {
    var market = this;
    return this.data.controls.map(function (control, c) { return market.snapped(c, control.start); });
  };

  // Regressors with these values of the controls; null leaves one as in the sample.
  Market.prototype.regressors = function (values) {
    var x = this.x.slice(), width = this.width, base = this.x, k, m;
    this.data.controls.forEach(function (control, c) {
      var value = values[c];
      if (value === null || value === undefined) return;
      var place = control.grid ? nearest(control.grid, value) : -1;
      for (m = 0; m < control.rows.length; m++) {
        var first = control.rows[m] * width;
        for (k = 0; k < width; k++) {
          x[first + k] += control.grid ? control.x[place][m][k] - base[first + k]
            : control.slope[m][k] * (value - control.base[m]);
        }
      }
    });
    return x;
  };

  function nearest(grid, value) {
    var best = 0;
    for (var k = 1; k < grid.length; k++) if (Math.abs(grid[k] - value) < Math.abs(grid[best] - value)) best = k;
    return best;
  }

  function utilities(market, x, model, d, v) {
    var width = market.width, beta = model.beta, at = d * width;
    for (var r = 0; r < market.rows; r++) {
      var sum = 0, first = r * width;
      for (var k = 0; k < width; k++) sum += x[first + k] * beta[at + k];
      v[r] = sum;
    }
  }

  function logit(v, first, last, s) {
    var top = -Infinity, sum = 0, r;
    for (r = first; r < last; r++) if (v[r] > top) top = v[r];
    for (r = first; r < last; r++) { s[r] = Math.exp(v[r] - top); sum += s[r]; }
    for (r = first; r < last; r++) s[r] /= sum;
  }

  // Shares of a tree: each node shares what it has among what it holds.
  function nested(market, model, v, first, last, s) {
    var tree = market.data.tree, labels = market.data.labelled, held = {}, r, q;
    function put(nest, what) { (held[nest] = held[nest] || []).push(what); }
    for (r = first; r < last; r++) put(tree.members[labels[r]], { row: r, value: v[r] });
    for (q = tree.parents.length - 1; q >= 0; q--) {
      if (held[q]) put(tree.parents[q], { nest: q, value: inclusive(held[q], model.lambda[q]) });
    }
    inclusive(held[-1], 1);
    (function pour(nest, amount) {
      held[nest].forEach(function (what) {
        if (what.nest === undefined) s[what.row] = amount * what.p;
        else pour(what.nest, amount * what.p);
      });
    })(-1, 1);
  }

  // Log-sum of what a node holds; each child gets its share given the node.
  function inclusive(children, scale) {
    var top = -Infinity, sum = 0;
    children.forEach(function (c) { if (c.value / scale > top) top = c.value / scale; });
    children.forEach(function (c) { c.p = Math.exp(c.value / scale - top); sum += c.p; });
    children.forEach(function (c) { c.p /= sum; });
    return scale * (top + Math.log(sum));
  }

  // Mean share of each alternative.
  Market.prototype.sharesAt = function (x, model) {
    var data = this.data, count = data.names.length, found = new Float64Array(count);
    var v = new Float64Array(this.rows), s = new Float64Array(this.rows), market = this;
    for (var d = 0; d < this.tastes; d++) {
      utilities(market, x, model, d, v);
      this.cases.forEach(function (ends, i) {
        if (data.tree) nested(market, model, v, ends[0], ends[1], s);
        else logit(v, ends[0], ends[1], s);
        var weight = data.weight[i] / market.total * (model.pi ? model.pi[d][i] : 1 / market.tastes);
        for (var r = ends[0]; r < ends[1]; r++) found[data.labelled[r]] += weight * s[r];
      });
    }
    return found;
  };

  Market.prototype.shares = function (values) {
    return this.sharesAt(this.regressors(values), this.model);
  };

  function five(f, h) {
    var far = f(2 * h), near = f(h), back = f(-h), behind = f(-2 * h);
    return far.map(function (value, j) { return (8 * (near[j] - back[j]) - (value - behind[j])) / (12 * h); });
  }

  // A step along coefficient p that moves no utility by more than TINY.
  function step(market, x, p) {
    var way = market.directions[p], most = 0, width = market.width, r, d;
    if (way.beta.length) {
      for (d = 0; d < market.tastes; d++) {
        for (r = 0; r < market.rows; r++) {
          var sum = 0;
          way.beta.forEach(function (entry) { sum += x[r * width + entry[0]] * entry[1][d]; });
          most = Math.max(most, Math.abs(sum));
        }
      }
    }
    if (way.lambda.length) {
      var v = new Float64Array(market.rows), largest = 1;
      utilities(market, x, market.model, 0, v);
      v.forEach(function (u) { largest = Math.max(largest, Math.abs(u)); });
      way.lambda.forEach(function (nest) {
        most = Math.max(most, largest / Math.pow(market.model.lambda[nest], 2));
      });
    }
    if (way.pi) most = Math.max(most, 1);
    return most ? TINY / most : 0;
  }

  // Derivatives of f(model) by every coefficient, at regressors that set the steps.
  Market.prototype.gradient = function (f, x) {
    var market = this, found = [];
    for (var p = 0; p < this.size; p++) {
      var h = step(market, x, p), zero = h ? null : f(market.model).map(function () { return 0; });
      found.push(zero || five(function (by) { return f(stepped(market, p, by)); }, h));
    }
    return found;
  };

  Market.prototype.errors = function (slopes) {
    var cov = this.data.cov, size = this.size, count = slopes.length ? slopes[0].length : 0, found = [];
    for (var j = 0; j < count; j++) {
      var sum = 0;
      for (var p = 0; p < size; p++) for (var q = 0; q < size; q++) sum += slopes[p][j] * cov[p][q] * slopes[q][j];
      found.push(Math.sqrt(Math.max(0, sum)));
    }
    return found;
  };

  function sigmoid(z) { return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)); }

  // Estimates with bands: of shares on the log-odds scale, so that they stay within 0 and 1.
  Market.prototype.bands = function (f, x, isShare) {
    var t = this.data.t, estimate = f(this.model), se = this.errors(this.gradient(f, x));
    return Array.prototype.map.call(estimate, function (value, j) {
      var low = value - t * se[j], high = value + t * se[j];
      if (isShare && value > 0 && value < 1) {
        var odds = Math.log(value) - Math.log1p(-value), half = t * se[j] / (value * (1 - value));
        low = sigmoid(odds - half); high = sigmoid(odds + half);
      }
      return { estimate: value, se: se[j], lower: low, upper: high };
    });
  };

  Market.prototype.shareBands = function (values) {
    var market = this, x = this.regressors(values);
    return this.bands(function (model) { return market.sharesAt(x, model); }, x, true);
  };

  // Shares at other values less shares at these, with bands.
  Market.prototype.changeBands = function (values, others) {
    var market = this, x = this.regressors(values), y = this.regressors(others);
    return this.bands(function (model) {
      var from = market.sharesAt(x, model), to = market.sharesAt(y, model);
      return to.map(function (value, j) { return value - from[j]; });
    }, x, false);
  };

  function withValue(values, c, value) { var found = values.slice(); found[c] = value; return found; }

  // Share of the control's alternative and its derivative by the control.
  Market.prototype.demand = function (c, values, value, model) {
    var market = this, control = this.data.controls[c], j = control.of;
    var most = 0, d, m, k, width = this.width;
    for (d = 0; d < this.tastes; d++) {
      for (m = 0; m < control.rows.length; m++) {
        var sum = 0;
        for (k = 0; k < width; k++) sum += control.slope[m][k] * this.model.beta[d * width + k];
        most = Math.max(most, Math.abs(sum));
      }
    }
    function at(p) { return market.sharesAt(market.regressors(withValue(values, c, p)), model); }
    if (!most) return [at(value)[j], 0];
    return [at(value)[j], five(function (by) { return at(value + by); }, TINY / most)[j]];
  };

  Market.prototype.elasticity = function (c, values) {
    if (this.data.controls[c].grid || !(values[c] > 0)) return null;
    var market = this, x = this.regressors(values);
    return this.bands(function (model) {
      var found = market.demand(c, values, values[c], model);
      return [found[1] * values[c] / found[0]];
    }, x, false)[0];
  };

  // The price that maximises (p - cost) S(p), other values given: null where there is none.
  Market.prototype.best = function (c, values, cost) {
    var market = this, control = this.data.controls[c], j = control.of;
    function profit(p) {
      return (p - cost) * market.sharesAt(market.regressors(withValue(values, c, p)), market.model)[j];
    }
    var ends = control.grid ? null : this.ends(c, values, cost);
    if (!control.grid && !ends) return { price: null, why: "demand does not fall with this price" };
    var grid = control.grid || [], k, top = 0;
    if (!control.grid) for (k = 0; k < GRID; k++) grid.push(ends[0] + (ends[1] - ends[0]) * k / (GRID - 1));
    var earned = grid.map(profit);
    earned.forEach(function (value, i) { if (value > earned[top]) top = i; });
    if (control.grid) {
      var edge = top === 0 || top === grid.length - 1;
      return { price: grid[top], se: null, lower: null, upper: null, edge: edge };
    }
    var narrow = ends[1] - ends[0] <= 1e-12 * Math.abs(ends[1]);
    if (!narrow && !ends[2] && (top === 0 || top === GRID - 1)) {
      return { price: null, why: "profit still rises at the end of the search, " + grid[top].toPrecision(4) };
    }
    function first(p, model) {
      var found = market.demand(c, values, p, model);
      return found[0] + (p - cost) * found[1];
    }
    var price = narrow ? (ends[0] + ends[1]) / 2
      : zero(function (p) { return first(p, market.model); }, grid[Math.max(0, top - 1)], grid[Math.min(GRID - 1, top + 1)]);
    // Implicit derivative of the first-order condition.
    var h = Math.pow(2, -12) * (Math.abs(price) || 1);
    var bend = five(function (by) { return [first(price + by, market.model)]; }, h)[0];
    var x = this.regressors(withValue(values, c, price));
    var slopes = this.gradient(function (model) { return [-first(price, model) / bend]; }, x);
    var se = this.errors(slopes)[0], t = this.data.t;
    return { price: price, se: se, lower: price - t * se, upper: price + t * se };
  };

  // Where a best price is looked for: plain logits with one moving row have a bracket by Lambert's
  // function; else from the cost to four times the highest price seen. The third says which.
  Market.prototype.ends = function (c, values, cost) {
    var control = this.data.controls[c], low = control.seen[0], high = control.seen[1];
    if (!this.data.plain) return [Math.max(cost, low / REACH), high * REACH, false];
    var x = this.regressors(withValue(values, c, cost)), v = new Float64Array(this.rows), own = {};
    var market = this, width = this.width, found = [Infinity, -Infinity, true], fine = true, rival = false, least = Infinity;
    utilities(this, x, this.model, 0, v);
    control.rows.forEach(function (r, m) {
      var sum = 0;
      for (var k = 0; k < width; k++) sum += control.slope[m][k] * market.model.beta[k];
      if (market.data.labelled[r] === control.of) own[r] = sum; else if (sum) rival = true;
    });
    this.cases.forEach(function (ends) {
      var mine = -1, top = -Infinity, sum = 0, r;
      for (r = ends[0]; r < ends[1]; r++) if (market.data.labelled[r] === control.of) mine = r; else top = Math.max(top, v[r]);
      if (mine < 0) return;
      var b = own[mine] || 0;
      if (!(b < 0) || top === -Infinity) { fine = false; return; }
      least = Math.min(least, -b);
      for (r = ends[0]; r < ends[1]; r++) if (r !== mine) sum += Math.exp(v[r] - top);
      var price = cost + (1 + omega(v[mine] - top - Math.log(sum) - 1)) / -b;
      found[0] = Math.min(found[0], price); found[1] = Math.max(found[1], price);
    });
    if (!fine || found[0] === Infinity) return null;
    if (rival) return [Math.min(cost, low), Math.max(cost, high) + 50 / least, true];
    return found;
  };

  // Wright's omega: w + log w = z.
  function omega(z) {
    var w = z > 1 ? z - Math.log(z) : Math.exp(z) / (1 + Math.exp(z));
    if (z < -30) return Math.exp(z);
    for (var i = 0; i < 60; i++) {
      var next = w * (1 + z - Math.log(w)) / (1 + w);
      if (Math.abs(next - w) <= 1e-16 * w) return next;
      w = next;
    }
    return w;
  }

  // The root between two values of a function that falls; an end where there is none.
  function zero(f, low, high) {
    if (f(low) <= 0) return low;
    if (f(high) >= 0) return high;
    var a = low, b = high, fa = f(a), fb = f(b);
    for (var i = 0; i < 200 && Math.abs(b - a) > 1e-14 * Math.abs(b); i++) {
      var guess = a - fa * (b - a) / (fb - fa), middle = (a + b) / 2;
      if (i % 3 === 2 || !(guess > a && guess < b)) guess = middle;
      var value = f(guess);
      if (value === 0) return guess;
      if (value > 0) { a = guess; fa = value; } else { b = guess; fb = value; }
    }
    return Math.abs(fa) < Math.abs(fb) ? a : b;
  }

  root.llmdemandMarket = Market;
})(typeof window === "undefined" ? globalThis : window);
