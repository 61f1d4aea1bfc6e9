<?php

/** The settings page of the module Calls in Russian: vTiger looks for its labels here, and they are those of the module. */

require __DIR__ . '/../Calls.php';

$jsLanguageStrings = [];
