<?php

/** Runs a piece of work so that all or nothing of it is stored. */

declare(strict_types=1);

namespace PinCalls\Record;

interface Atomic
{
    /**
     * @param callable(): mixed $work
     * @return mixed what the work returns
     * @throws \Throwable what the work throws, after nothing of it is left
     */
    public function run(callable $work);
}
