<?php

/** The module's version; the build command takes it from here into the manifest. */

declare(strict_types=1);

namespace PinCalls;

final class Version
{
    public const NUMBER = '1.0.0';
}
