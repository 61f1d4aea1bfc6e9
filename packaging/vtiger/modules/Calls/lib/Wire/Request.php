<?php

/** An HTTP request as the endpoint needs it: free of PHP's superglobals. */

declare(strict_types=1);

namespace PinCalls\Wire;

final class Request
{
    public string $method;
    /** @var list<string> what the sender may have signed: the path as it came, and as this vTiger's own address has it */
    public array $paths;
    /** @var array<string, string> names in lower case */
    public array $headers;
    public string $body;

    /**
     * @param list<string> $paths
     * @param array<string, string> $headers
     */
    public function __construct(string $method, array $paths, array $headers, string $body)
    {
        $this->method = $method;
        $this->paths = $paths;
        $this->headers = array_change_key_case($headers);
        $this->body = $body;
    }

    public function header(string $name): string
    {
        return trim($this->headers[strtolower($name)] ?? '');
    }
}
