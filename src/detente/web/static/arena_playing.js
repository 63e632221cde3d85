"use strict";
setTimeout(() => location.reload(), 5000);
