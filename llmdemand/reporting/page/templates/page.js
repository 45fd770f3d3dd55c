"use strict";
// On a phone the contents are folded; without this script they stay open.
(function () {
  var contents = document.querySelector("nav details");
  if (contents && window.innerWidth < 640) contents.open = false;
})();
