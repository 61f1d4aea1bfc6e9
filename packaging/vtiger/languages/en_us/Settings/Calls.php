<?php

/** The settings page of the module Calls in English: vTiger looks for its labels here, and they are those of the module. */

require __DIR__ . '/../Calls.php';

$jsLanguageStrings = [];
