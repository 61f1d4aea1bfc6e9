<?php

/**
 * Loads the classes of this folder. vTiger's own loader knows nothing of namespaces, and Composer's is not ours to change.
 */

declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    $prefix = 'PinCalls\\';
    if (strncmp($class, $prefix, strlen($prefix)) !== 0) {
        return;
    }
    $file = __DIR__ . '/' . str_replace('\\', '/', substr($class, strlen($prefix))) . '.php';
    if (is_file($file)) {
        require $file;
    }
});
