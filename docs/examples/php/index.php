<?php
// A page, a stream of events that gripproxy holds, and a publish. No library, no extension, no long-running process.

const GRIP_URL = 'http://localhost:5561';

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/':
        readfile(__DIR__ . '/../page.html');
        break;

    case '/events':
        // Look here who asks: what follows subscribes him to the channel.
        header('Content-Type: text/event-stream');
        header('Grip-Hold: stream');
        header('Grip-Channel: news');
        header('Grip-Keep-Alive: :\n\n; format=cstring; timeout=30');
        echo ":\n\n";
        break;

    case '/say':
        publish('news', event($_POST['text'] ?? ''));
        http_response_code(204);
        break;

    default:
        http_response_code(404);
}

/** Give text as one server-sent event: each of its lines is a field. */
function event(string $text): string
{
    return 'data: ' . preg_replace('/\r\n|\r|\n/', "\ndata: ", $text) . "\n\n";
}

/** Send content to everybody whose stream is held for the channel. */
function publish(string $channel, string $content): void
{
    $item = ['channel' => $channel, 'formats' => ['http-stream' => ['content' => $content]]];
    $request = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => 'Content-Type: application/json',
        'content' => json_encode(['items' => [$item]], JSON_INVALID_UTF8_SUBSTITUTE),
    ]]);
    $url = (getenv('GRIP_URL') ?: GRIP_URL) . '/publish/';
    if (file_get_contents($url, false, $request) === false) {
        throw new RuntimeException('gripproxy has not taken the item');
    }
}
